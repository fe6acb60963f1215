waxwing emit {{ name }}.greet '{"guest":"Ada"}'
waxwing state get {{ name }} Ada
