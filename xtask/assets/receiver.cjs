// A payment backend in small: takes webhooks, verifies each with the stock `standardwebhooks`
// package (found by NODE_PATH), and prints one line of JSON for each.
//
// Environment: WEBHOOK_SECRET (whsec_…), PORT (0 or none: a free one), CLOCK_S (seconds since the
// epoch at which the receiver's clock stands still; none: the real clock).
const http = require("node:http");
const { Webhook } = require("standardwebhooks");

const BODY_LIMIT = 1_000_000;
if (process.env.CLOCK_S) Date.now = () => Number(process.env.CLOCK_S) * 1000;

const webhook = new Webhook(process.env.WEBHOOK_SECRET);
const print = (line) => console.log(JSON.stringify(line));

function take(request, body) {
  const headers = {
    id: request.headers["webhook-id"] ?? null,
    timestamp: request.headers["webhook-timestamp"] ?? null,
  };
  try {
    const event = webhook.verify(body, request.headers);
    print({ verified: true, ...headers, event });
    return 204;
  } catch (error) {
    print({ verified: false, ...headers, error: error.message });
    return 401;
  }
}

const server = http.createServer((request, response) => {
  const chunks = [];
  let size = 0;
  request.on("data", (chunk) => {
    size += chunk.length;
    if (size > BODY_LIMIT) request.destroy();
    else chunks.push(chunk);
  });
  request.on("end", () => {
    response.writeHead(take(request, Buffer.concat(chunks).toString("utf8"))).end();
  });
});

server.listen(Number(process.env.PORT ?? 0), "127.0.0.1", () => {
  print({ listening: server.address().port });
});
