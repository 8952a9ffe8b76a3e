import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { read } from "../../src/store/sql/sql.ts";
import { run, start, urlOf } from "../cli/command.ts";
import { freePort } from "../support/free-port.ts";
import { DIALECTS, newPlace } from "./places.ts";
import type { Place } from "./places.ts";

const KEY = "sk-0123456789abcdefghijklmnopqrstuvwxyz";

/** Serves one request from the place, with the key that an earlier place knew, and stops. */
async function serveOnce(env: Readonly<Record<string, string>>, options: readonly string[] = []): Promise<void> {
  const relay = start(["serve", "--port", String(await freePort()), ...options], { env });
  await relay.says("listening on");
  const headers = { authorization: `Bearer ${KEY}`, "content-type": "application/json" };
  const body = JSON.stringify({ model: "demo", messages: [{ role: "user", content: "Hello" }] });
  const response = await fetch(`${urlOf(relay)}/v1/chat/completions`, { method: "POST", headers, body });
  expect([response.status, (await response.text()).includes("chat.completion")]).toEqual([200, true]);
  relay.child.kill("SIGTERM");
  expect((await relay.exited).code).toBe(0);
}

async function requestsIn(place: Place): Promise<number> {
  return (await place.run(() => read("SELECT id FROM requests", []))).length;
}

test.runIf(DIALECTS.includes("postgres"))(
  "a relay moves from SQLite to PostgreSQL with its data directory, and back to SQLite, as the documents say",
  { timeout: 60_000 },
  async () => {
    const sqlite = await newPlace("sqlite");
    await serveOnce({ ...sqlite.env, MILLRACE_KEY: KEY });
    const file = join(sqlite.dataDir, "move.gz");
    expect(await run(["backup", file], { env: sqlite.env })).toMatchObject({ code: 0 });

    const postgres = await newPlace("postgres");
    const { url } = postgres.database as { url: string };
    const config = join(sqlite.dataDir, "config.yaml");
    // The server of the tests does not sync.
    writeFileSync(config, `database: ${url}\ndurability: process\n`);
    const there = ["--config", config];
    const restored = await run(["restore", file, ...there], { env: sqlite.env });
    expect(restored).toMatchObject({ code: 0, out: expect.stringContaining("the books agree") as string });
    // The key came with the database.
    await serveOnce(sqlite.env, there);
    expect([await requestsIn(sqlite), await requestsIn(postgres)]).toEqual([1, 2]);

    const back = await newPlace("sqlite");
    rmSync(file);
    expect(await run(["backup", file, ...there], { env: sqlite.env })).toMatchObject({ code: 0 });
    expect(await run(["restore", file], { env: back.env })).toMatchObject({ code: 0 });
    await serveOnce(back.env);
    expect(await requestsIn(back)).toBe(3);
    for (const place of [sqlite, postgres, back]) await place.remove();
  },
);
