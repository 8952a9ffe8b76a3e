/** A mistake of the relay's own at the edge costs its own request alone. */
import type { AddressInfo } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { BodyBudget, readJsonBody } from "../../src/edge/body.ts";
import { createListener } from "../../src/edge/server.ts";
import { call, errorOf } from "../support/call.ts";

const LIMITS = { bytesMax: 1024, graceMs: 1_000 };

class BrokenBudget extends BodyBudget {
  override take(): boolean {
    throw new Error("a planted bug");
  }
}

test("a throw while a body arrives is that request's internal_error, and a connection that is not accepted is a line in the log", async () => {
  const bugs: unknown[] = [];
  const troubles: string[] = [];
  const server = createListener({
    open: new Set(),
    handle: async (request, response) => {
      const budget = request.url === "/broken" ? new BrokenBudget(0) : new BodyBudget(1024 * 1024);
      const read = await readJsonBody(request, LIMITS, budget);
      response.end(String(read.ok));
    },
    onBug: (_requestId, error) => bugs.push(error),
    onTrouble: (message) => troubles.push(message),
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void server.close());
  const { port } = server.address() as AddressInfo;
  const broken = await call({ port, key: "" }, { path: "/broken", body: {} });
  expect([broken.status, errorOf(broken).code]).toEqual([500, "internal_error"]);
  expect(bugs).toEqual([new Error("a planted bug")]);
  server.emit("error", new Error("accept EMFILE"));
  expect(troubles).toEqual(["the relay could not accept a connection: accept EMFILE"]);
  expect((await call({ port, key: "" }, { path: "/good", body: {} })).body).toBe("true");
});
