/** What `npm run chaos` makes a database slow with: bytes come late, whole and in order. */
import { connect, createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import { openSlowLine } from "../../chaos/slow-line.ts";
import type { SlowLine } from "../../chaos/slow-line.ts";
import { freePort } from "../../packages/relay/test/support/free-port.ts";

/** Says what it hears. */
let echo: Server;
let heard = "";
let line: SlowLine;
let client: Socket;
let answered = "";

beforeEach(async () => {
  heard = answered = "";
  echo = createServer((socket) => socket.on("data", (bytes) => socket.write(((heard += bytes.toString()), bytes))));
  const port = await freePort();
  await new Promise<void>((resolve) => echo.listen(port, "127.0.0.1", resolve));
  line = await openSlowLine((echo.address() as AddressInfo).port);
  client = connect(line.port, "127.0.0.1");
  client.on("data", (bytes) => (answered += bytes.toString()));
});

afterEach(async () => {
  client.destroy();
  await line.close();
  await new Promise((resolve) => echo.close(resolve));
});

async function ask(text: string): Promise<number> {
  const [startedAt, before] = [performance.now(), answered];
  client.write(text);
  await expect.poll(() => answered, { timeout: 5_000, interval: 5 }).toBe(before + text);
  return performance.now() - startedAt;
}

test("each piece takes as long as was said, there and back, and none overtakes another", async () => {
  await ask("one");
  const quicken = line.delay(200);
  expect(await ask("two")).toBeGreaterThanOrEqual(390);
  client.write("late");
  quicken();
  client.write("three");
  await expect.poll(() => answered, { timeout: 5_000 }).toBe("onetwolatethree");
});

test("a stalled line brings nothing until it goes on, and then all of it, though the client has left", async () => {
  await ask("one");
  const goOn = line.stall();
  client.write("two");
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect(heard).toBe("one");
  client.destroySoon();
  await new Promise((resolve) => client.once("close", resolve));
  goOn();
  await expect.poll(() => heard, { timeout: 5_000 }).toBe("onetwo");
});
