waxwing emit {{ name }}.requested '{"trip":"t1","destination":"Oslo"}'
waxwing saga show {{ name }} t1
waxwing emit {{ name }}.room-booked '{"trip":"t1"}'
waxwing emit {{ name }}.flight-booked '{"trip":"t1"}'
