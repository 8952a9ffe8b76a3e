import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { checkBackup } from "../../src/store/backup/read.ts";
import { restoreBackup } from "../../src/store/backup/restore.ts";
import { writeBackup } from "../../src/store/backup/write.ts";
import { run, start } from "../cli/command.ts";
import { until } from "../simulator/raw-client.ts";
import { contentOf, DIALECTS, fill, newPlace } from "./places.ts";
import type { Place } from "./places.ts";

const KILLS = process.env["MILLRACE_LONG"] === "1" ? 40 : 4;
const MANY = 30_000;

let directory: string;
let file: string;
let source: Place;
let content: Awaited<ReturnType<typeof contentOf>>;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "millrace-killed-"));
  file = join(directory, "backup.gz");
  source = await newPlace("sqlite");
  await fill(source, { count: 300, isEnded: true });
  await source.run(function* () {
    const names = `id, at, account_id, key_id, endpoint, model, upstream, upstream_model, stream, status, end_reason, marks, input_tokens,
      cached_input_tokens, cache_write_tokens, output_tokens, reasoning_tokens, basis, events, bytes_out, ttft_ms, duration_ms`;
    const values = "'a', 'k', 'chat', 'm', 'u', 'm', 1, 200, 'complete', '', 1, 0, 0, 1, 0, 'exact', 1, 1, 1.5, 1";
    const sql = `INSERT INTO requests (${names}) SELECT 'req_many_' || value, value, ${values} FROM (WITH RECURSIVE n(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < ${MANY}) SELECT value FROM n)`;
    yield { kind: "write", sql, types: [], rows: [[]] };
  });
  await writeBackup({ file, force: false, onProgress: () => undefined, ...source });
  content = await contentOf(source);
}, 60_000);
afterAll(async () => {
  await source.remove();
  rmSync(directory, { recursive: true });
});

test.each(DIALECTS)(
  "%s: a restore that is killed leaves nothing that looks like data, and can be run again",
  { timeout: 60_000 + KILLS * 5_000 },
  async (dialect) => {
    let kills = 0;
    for (let n = 0; n < KILLS; n++) {
      const place = await newPlace(dialect);
      const mark = join(place.dataDir, "restoring");
      const child = start(["restore", file], { env: place.env });
      await until(() => existsSync(mark) || child.child.exitCode !== null, 15_000);
      await new Promise((resolve) => setTimeout(resolve, (n / KILLS) * (dialect === "sqlite" ? 300 : 1_500)));
      child.child.kill("SIGKILL");
      const { code } = await child.exited;
      if (code !== 0) expect(code).toBe("SIGKILL");
      // The signal may come after the last step, while the command says what it did: then all of it is there.
      if (existsSync(mark)) {
        kills += 1;
        const started = await run(["key", "list"], { env: place.env });
        expect(started).toMatchObject({ code: 1, out: "" });
        expect(started.err).toMatch(/^millrace: a restore into .* was cut short: run it again, or remove the directory\n$/);
        expect(await run(["restore", file], { env: place.env })).toMatchObject({ code: 0 });
      }
      expect(existsSync(mark)).toBe(false);
      expect(await contentOf(place)).toEqual(content);
      expect(readdirSync(place.dataDir).filter((name) => name.includes("restoring"))).toEqual([]);
      await place.remove();
    }
    expect(kills).toBeGreaterThan(0);
  },
);

test.each(DIALECTS)("%s: a restore that was killed between its last two steps is ended by running it again", async (dialect) => {
  const place = await newPlace(dialect);
  await restoreBackup({ file, onProgress: () => undefined, ...place });
  // What the kill would have left.
  const mark = join(place.dataDir, "restoring");
  const { tail } = await checkBackup(file, () => undefined);
  writeFileSync(mark, tail.sha256);
  expect(await run(["key", "list"], { env: place.env })).toMatchObject({ code: 1, out: "" });
  // Only of the same backup is it known that nothing else is there.
  const other = join(directory, "other.gz");
  const small = await newPlace("sqlite");
  await fill(small, { count: 3, isEnded: true });
  await writeBackup({ file: other, force: true, onProgress: () => undefined, ...small });
  await small.remove();
  expect((await run(["restore", other], { env: place.env })).err).toMatch(/exists|has Millrace's tables already/);
  expect(existsSync(mark)).toBe(true);
  expect(await run(["restore", file], { env: place.env })).toMatchObject({ code: 0 });
  expect(existsSync(mark)).toBe(false);
  expect(await contentOf(place)).toEqual(content);
  await place.remove();
});

test("a backup that is killed or stopped leaves no file of its name", { timeout: 60_000 }, async () => {
  for (const signal of ["SIGKILL", "SIGTERM"] as const) {
    const cut = join(directory, `${signal}.gz`);
    const child = start(["backup", cut], { env: source.env });
    await until(() => child.child.exitCode !== null || readdirSync(directory).some((name) => name.startsWith(`${signal}.gz.`)), 15_000);
    child.child.kill(signal);
    const { code, err } = await child.exited;
    // It was done before the signal came.
    if (code === 0) await checkBackup(cut, () => undefined);
    else expect([signal, code, existsSync(cut)]).toEqual([signal, signal === "SIGKILL" ? "SIGKILL" : 1, false]);
    if (code === 1) expect(err).toBe("millrace: the backup was stopped and left no file\n");
  }
  expect(readdirSync(directory).filter((name) => name.startsWith("SIGTERM.gz."))).toEqual([]);
});
