"""The handler `price-watch` once more, in Python: it tells of prices that have fallen far enough."""

import json

from componentize_py_types import Err
from wit_world.exports import Handler as Contract
from wit_world.imports import emit, settings, types


def reject(reason: str) -> Err:
    """A failure for which another attempt is of no use."""
    return Err(types.Failure_Reject(reason))


def read(event: types.Event) -> dict:
    try:
        return json.loads(event.data)
    except ValueError as error:
        raise reject(f"the data is no JSON: {error}")


def threshold() -> float:
    """How far a price must fall, in percent."""
    setting = settings.get("percent") or "10"
    try:
        return float(setting)
    except ValueError:
        raise reject(f"setting `percent` is `{setting}`: write a number")


# The interface `handler` of the contract. What is raised as `Err` is its failure.
class Handler(Contract):
    def handle(self, event: types.Event) -> None:
        update = read(event)
        old_price, new_price = update.get("oldPrice"), update["newPrice"]
        if old_price is None:
            return  # a first price cannot have dropped
        if old_price == 0:
            raise reject("the old price is zero")
        fell = (old_price - new_price) * 100 / old_price
        if fell < threshold():
            return
        dropped = {
            "productId": update["productId"],
            "oldPrice": old_price,
            "newPrice": new_price,
            "percent": round(fell, 2),
        }
        data = json.dumps(dropped).encode()
        emit.emit(emit.NewEvent("alerts.price-dropped", None, None, None, None, [], data))
