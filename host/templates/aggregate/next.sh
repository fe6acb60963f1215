waxwing emit {{ name }}.deposit '{"account":"7","amount":500}'
waxwing emit {{ name }}.withdraw '{"account":"7","amount":200}'
waxwing state get {{ name }} 7
waxwing history {{ name }} 7
