// The handler `price-watch` once more, in JavaScript: it tells of prices that have fallen far enough.

import { emit } from 'waxwing:events/emit@0.1.0';
import { get } from 'waxwing:events/settings@0.1.0';

/** A failure for which another attempt is of no use. */
const reject = (reason) => ({ tag: 'reject', val: reason });

const text = new TextDecoder('utf-8', { fatal: true });
const bytes = new TextEncoder();

function read(event) {
  try {
    return JSON.parse(text.decode(event.data));
  } catch (error) {
    throw reject(`the data is no JSON: ${error.message}`);
  }
}

/** How far a price must fall, in percent. */
function threshold() {
  const setting = get('percent') ?? '10';
  const percent = Number(setting);
  if (Number.isNaN(percent)) throw reject(`setting \`percent\` is \`${setting}\`: write a number`);
  return percent;
}

// The interface `handler` of the contract. What is thrown is its failure.
export const handler = {
  handle(event) {
    const { productId, oldPrice, newPrice } = read(event);
    if (oldPrice === undefined || oldPrice === null) return; // a first price cannot have dropped
    if (oldPrice === 0) throw reject('the old price is zero');
    const fell = ((oldPrice - newPrice) * 100) / oldPrice;
    if (fell < threshold()) return;
    const percent = Math.round(fell * 100) / 100;
    const dropped = { productId, oldPrice, newPrice, percent };
    emit({
      subject: 'alerts.price-dropped',
      extensions: [],
      data: bytes.encode(JSON.stringify(dropped)),
    });
  },
};
