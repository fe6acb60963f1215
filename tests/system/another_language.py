"""A client of the shop that knows NATS and nothing of Waxwing: publishes, reads the view, asks."""

import asyncio
import json
import sys

import nats


async def main(url: str) -> None:
    client = await nats.connect(url)
    stream = client.jetstream()
    view = await stream.key_value("shop-order-view")
    watcher = await view.watch("order/o1")

    async def tell(subject: str, **data) -> None:
        await stream.publish(subject, json.dumps(data).encode())

    await tell("stock.set", productId="tea", quantity=5)
    await tell("order.place", orderId="o1", productId="tea", quantity=2, amount=12.5)
    seen = []
    async for entry in watcher:
        if entry is None:
            continue
        seen.append(json.loads(entry.value)["status"])
        if seen[-1] == "shipped":
            break
    value = json.loads((await view.get("order/o1")).value)
    answer = await client.request("cmd.order.show", json.dumps({"orderId": "o1"}).encode(), timeout=10)
    keys = sorted(await view.keys())
    print(json.dumps({"seen": seen, "value": value, "answer": json.loads(answer.data), "keys": keys}))
    await client.close()


asyncio.run(asyncio.wait_for(main(sys.argv[1]), timeout=90))
