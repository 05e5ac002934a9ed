// Asks one source for a price. The result is JSON: the price as text, as the source wrote it, and the time of the run.
const ASKED_AT_MOST = 3;

export async function main(heddle) {
  const { address, path } = JSON.parse(heddle.inputText());
  const price = await ask(heddle, address, path);
  heddle.log(`price ${price}`);
  return { price, time_ms: heddle.now(), execution: heddle.job.execution };
}

async function ask(heddle, address, path) {
  let reason = "";
  for (let time = 0; time < ASKED_AT_MOST; time++) {
    try {
      const reply = await heddle.fetch(address, { headers: { accept: "application/json" } });
      if (reply.ok) return priceIn(heddle, reply.json(), path);
      reason = `status ${reply.status}`;
    } catch (error) {
      reason = error.message;
    }
  }
  return heddle.fail(2, `no answer from ${address}: ${reason}`);
}

// The field of the reply that `path` names, as decimal text; anything else is no price.
function priceIn(heddle, document, path) {
  let value = document;
  for (const name of path.split(".")) value = value?.[name];
  const text = String(value);
  return /^\d+(\.\d+)?$/.test(text) ? text : heddle.fail(3, `${path} is ${text.slice(0, 40)}, not a price`);
}
