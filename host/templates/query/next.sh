waxwing emit {{ name }}.set '{"product":"tea","price":320}'
waxwing request cmd.{{ name }}.show '{"product":"tea"}'
