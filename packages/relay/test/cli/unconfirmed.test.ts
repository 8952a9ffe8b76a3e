import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import type { Caller } from "../../src/control/access/caller.ts";
import { Changes } from "../../src/control/changes.ts";
import type { Result } from "../../src/ledger/operation.ts";
import { credit } from "../ledger/operations.ts";
import { freePort } from "../support/free-port.ts";
import { run } from "./command.ts";

const NOTE = { action: "credit.grant", target: "acme", before: null, after: null };

function refusalOf(result: Result): Promise<void> {
  const ledger = { ask: async () => result, askAll: () => Promise.reject(new Error("it is one operation")) };
  const changes = new Changes({ write: async () => null, fresh: async () => undefined }, ledger, () => undefined);
  return changes.ask({ actor: "root", role: "owner", address: null } as unknown as Caller, NOTE, credit("ref-1", 7n)).then(() => undefined);
}

test("a grant whose outcome nobody knows is told so, and may be sent again; one that was not made is told as that", async () => {
  await expect(refusalOf({ ok: false, code: "store_unavailable", isUnknown: true })).rejects.toThrow(/may have been made.*same reference/);
  await expect(refusalOf({ ok: false, code: "store_unavailable" })).rejects.toThrow(/nothing was changed/);
});

test("the command says the reference by which a grant of unknown outcome is repeated", { timeout: 30_000 }, async () => {
  const references: string[] = [];
  const server = createServer((request, response) => {
    const pieces: Buffer[] = [];
    request.on("data", (piece: Buffer) => pieces.push(piece));
    request.on("end", () => {
      references.push(String((JSON.parse(Buffer.concat(pieces).toString()) as Record<string, unknown>)["reference"]));
      const error = {
        code: "store_unavailable",
        message: "It may have been made.",
        type: "server_error",
        param: null,
        request_id: "req_1",
      };
      response.writeHead(503, { "content-type": "application/json" }).end(JSON.stringify({ error }));
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.on("error", reject);
    void freePort().then((port) => server.listen(port, "127.0.0.1", resolve));
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const ran = await run(["credit", "grant", "acc_1", "5.00", "--reason", "hello"], {
    env: { MILLRACE_URL: url, MILLRACE_ADMIN_TOKEN: "t" },
  });
  server.close();
  expect(references).toEqual([expect.stringMatching(/^cli-/)]);
  expect([ran.code, ran.err]).toEqual([1, expect.stringContaining(`--reference ${references[0]}`)]);
});
