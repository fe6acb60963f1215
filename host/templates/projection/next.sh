waxwing emit {{ name }}.sold '{"product":"tea","quantity":2,"amount":640}'
waxwing state get {{ name }} tea
nats kv get {{ app }}-{{ name }} tea --raw
