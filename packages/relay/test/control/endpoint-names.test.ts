/** What was called `door` is called `endpoint`; for one version whoever reads finds both, and what an older version left is read. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { call } from "../support/call.ts";
import { row } from "../store/row.ts";
import { dataOf, startControlPlane } from "./control-plane.ts";
import type { ControlPlane } from "./control-plane.ts";

const BOTH = { endpoint: "chat", door: "chat" };

let dataDir: string;
let plane: ControlPlane;
let id: string;

/** A line of the spool file as version 0.1.0 wrote it, which knew no endings. */
function oldLine(of: string): object {
  const { endpoint, ...rest } = row(of);
  return { ...rest, door: endpoint };
}

beforeAll(async () => {
  dataDir = mkdtempSync(join(tmpdir(), "millrace-endpoint-names-"));
  const lines = [oldLine("req_old_1"), { row: oldLine("req_old_2"), ending: null }, { row: row("req_new"), ending: null }];
  writeFileSync(join(dataDir, "spool"), lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
  plane = await startControlPlane({ dataDir });
  id = String((await call(plane.relay)).headers["x-request-id"]);
  await plane.relay.row(4);
});
afterAll(async () => {
  await plane.close();
  rmSync(dataDir, { recursive: true, force: true });
});

test("what an older version left in its spool file is stored", async () => {
  const rows = (await plane.all("requests")).filter((each) => each["id"] !== id);
  expect(rows.map((each) => String(each["id"])).toSorted()).toEqual(["req_new", "req_old_1", "req_old_2"]);
  for (const each of rows) expect(each).toMatchObject(BOTH);
  expect(existsSync(join(dataDir, "spool"))).toBe(false);
});

test("the control API and its document show both names, the old one as deprecated", async () => {
  expect(await plane.made("GET", `requests/${id}`)).toMatchObject(BOTH);
  expect(dataOf(await plane.made("GET", "requests?limit=1"))).toMatchObject([BOTH]);
  const document = JSON.stringify(await plane.made("GET", "openapi.json"));
  expect([...document.matchAll(/"(\w+)":\{[^{}]*"deprecated":true[^{}]*\}/g)].map((match) => match[1])).toContain("door");
});

test("a receipt shows both names", async () => {
  const receipt = await call(plane.relay, { path: `/v1/requests/${id}`, method: "GET", body: null });
  expect(JSON.parse(receipt.body)).toMatchObject({ id, ...BOTH });
});

test("the log line of a request has both names", async () => {
  await expect
    .poll(() => plane.relay.logLines.map((line) => JSON.parse(line) as object))
    .toContainEqual(expect.objectContaining({ request_id: id, ...BOTH }));
});

test("requests are counted under both labels", async () => {
  const series = 'millrace_requests_total{endpoint="chat",door="chat",model="m",upstream="a",status="200"} 1';
  await expect.poll(async () => (await call(plane.relay, { path: "/metrics", method: "GET", body: null })).body).toContain(series);
});
