/** `millrace reconcile`: through a running relay and on a data directory, with files that were planted or spoilt. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { EXPORTS } from "../reconcile/exports.ts";
import { pricesOf, Provider } from "../reconcile/provider.ts";
import type { Billed } from "../reconcile/provider.ts";
import { call, MESSAGES } from "../support/call.ts";
import { startRelay } from "../support/start-relay.ts";
import type { TestRelay } from "../support/start-relay.ts";
import { ADMIN_TOKEN, newDir, run } from "./command.ts";
import type { Ran } from "./command.ts";

/** Each command is a process, and the machine may be busy. */
const MINUTES = 180_000;

/** The relay's day: yesterday, and not near its end. */
const NOON = Math.floor(Date.now() / 86_400_000) * 86_400_000 - 43_200_000;
const dayIn = (days: number): string => new Date(NOON + days * 86_400_000).toISOString().slice(0, 10);

const provider = new Provider("alpha-1");
const dir = newDir();
let relay: TestRelay;

beforeAll(async () => {
  vi.useFakeTimers({ toFake: ["Date"], now: NOON });
  relay = await startRelay({ upstreams: { a: provider.upstream }, prices: pricesOf({ a: provider }) });
  for (let i = 1; i <= 5; i++) {
    provider.turn = i === 2 ? "broken" : "good";
    await call(relay, { body: { model: "m", stream: true, messages: MESSAGES } });
    await relay.row(i);
  }
});
afterAll(async () => {
  vi.useRealTimers();
  await relay.close();
});

function fileOf(bills: readonly Billed[], form = "a plain table with costs"): string {
  const file = join(dir, "usage.csv");
  writeFileSync(file, EXPORTS[form]?.(bills) ?? "");
  return file;
}

const say = (...words: string[]): Promise<Ran> =>
  run(["reconcile", ...words], { env: { MILLRACE_URL: relay.url, MILLRACE_ADMIN_TOKEN: ADMIN_TOKEN } });

/** The same bills with so many thousandths more output. */
function planted(perMille: number): Billed[] {
  const output = provider.bills.reduce((sum, bill) => sum + bill.output, 0);
  return provider.bills.map((bill, at) => (at === 0 ? { ...bill, output: bill.output + Math.round((output * perMille) / 1000) } : bill));
}

test(
  "what was billed agrees to the token, in every form, and the exit code says so",
  async () => {
    for (const form of Object.keys(EXPORTS)) {
      const ran = await say(fileOf(provider.bills, form), "--upstream", "a", "--tolerance", "0%");
      expect([form, ran.code, ran.err]).toEqual([form, 0, ""]);
      expect(ran.out).toMatch(
        /^DAY +MODEL +INPUT +INPUT_OURS +CACHED +CACHED_OURS .*NO_USAGE +OFF +VERDICT\n\S+ +alpha-1 .* 0 +- +agrees\ntotal /,
      );
      expect(ran.out).toContain(": 1 of 1 lines agree within 0%\n");
    }
  },
  MINUTES,
);

test(
  "0.6 % too much is told with the number that is off, 0.4 % is not",
  async () => {
    expect((await say(fileOf(planted(4)), "--upstream", "a")).code).toBe(0);
    const ran = await say(fileOf(planted(6)), "--upstream", "a");
    expect([ran.code, ran.err]).toEqual([1, ""]);
    expect(ran.out).toMatch(/alpha-1 .* output -0\.59\d*% +DIFFERS\ntotal .*DIFFERS\na, \S+ to \S+: 0 of 1 lines agree within 0\.5%\n/);
    expect((await say(fileOf(planted(6)), "--upstream", "a", "--tolerance", "0.7%")).code).toBe(0);
    const json = JSON.parse((await say(fileOf(planted(6)), "--upstream", "a", "--json")).out) as Record<string, unknown>;
    const total = provider.bills.reduce((sum, bill) => sum + bill.output, 0);
    expect(json).toMatchObject({
      upstream: "a",
      tolerance: "0.5",
      agrees: false,
      lines: [
        { upstream_model: "alpha-1", verdict: "differs", output_tokens: { ours: total, agrees: false }, input_tokens: { percent: "0" } },
      ],
      totals: { verdict: "differs", without_usage: 0 },
    });
  },
  MINUTES,
);

test(
  "what one side alone has is named; another name for a model, and days, can be said",
  async () => {
    const bills = provider.bills.map((bill) => ({ ...bill, model: "alpha-1-2026-10-10" }));
    const ran = await say(fileOf(bills), "--upstream", "a");
    expect(ran.code).toBe(1);
    expect(ran.out).toMatch(/alpha-1 .*ONLY OURS\n.*alpha-1-2026-10-10 .*ONLY THEIRS\n/);
    expect((await say(fileOf(bills), "--upstream", "a", "--model", "alpha-1-2026-10-10=alpha-1")).code).toBe(0);

    const old = { ...bills[0], day: "2020-01-01" } as Billed;
    const ranged = await say(fileOf([...provider.bills, old]), "--upstream", "a", "--from", dayIn(-20), "--to", dayIn(3));
    expect([ranged.code, ranged.err]).toEqual([0, ""]);
    expect(ranged.out).toContain(`a, ${dayIn(-20)} to ${dayIn(3)}: 1 of 1 lines agree within 0.5%\n`);
    expect(ranged.out).toContain(`note: lines of other days in the file: 1\nnote: the day ${dayIn(3)} is not over\n`);
    const nobody = await say(fileOf(provider.bills), "--upstream", "nobody");
    expect(nobody.code).toBe(1);
    expect(nobody.out).toContain("note: nothing is recorded of an upstream nobody in these days\n");
  },
  MINUTES,
);

test(
  "wrong usage is 2: options, and files that are no export",
  async () => {
    const good = fileOf(provider.bills);
    expect((await say(good)).code).toBe(2);
    const help = await say("--help");
    expect([help.code, help.err]).toEqual([0, ""]);
    expect(help.out).toContain("--tolerance <percent>");
    for (const words of [
      ["--tolerance", "0.5"],
      ["--tolerance", "0.12345%"],
      ["--from", "2026-02-30"],
      ["--model", "a"],
    ])
      expect([words, (await say(good, "--upstream", "a", ...words)).code]).toEqual([words, 2]);
    const backwards = await say(good, "--upstream", "a", "--from", "2099-01-02", "--to", "2099-01-01");
    expect([backwards.code, backwards.err]).toEqual([2, "millrace: the days end before they begin\n"]);
    const long = await say(good, "--upstream", "a", "--from", "1990-01-01");
    expect([long.code, long.err]).toEqual([2, "millrace: that is more than 400 days\n"]);
    const file = join(dir, "spoilt");
    for (const [content, fault] of [
      [Buffer.from("PK\u0003\u0004rest"), "is an archive or a workbook: unpack it, or save it as CSV"],
      [Buffer.from([0x64, 0xff, 0xfe]), "is not text in UTF-8"],
      [Buffer.from(""), "is empty"],
      [Buffer.from("a,b\n1,2\n"), "has the columns a, b, of which none tells the day"],
    ] as const) {
      writeFileSync(file, content);
      const ran = await say(file, "--upstream", "a");
      expect([ran.code, ran.out, ran.err.startsWith(`millrace: ${file} ${fault}`)]).toEqual([2, "", true]);
    }
    expect((await say(join(dir, "none"), "--upstream", "a")).err).toBe(`millrace: ${join(dir, "none")} cannot be read (ENOENT)\n`);
  },
  MINUTES,
);

test(
  "answers without usage are named, and a data directory that no relay uses does as well",
  async () => {
    provider.turn = "silent";
    await call(relay, { body: { model: "m", stream: true, messages: MESSAGES } });
    await relay.row(6);
    const ran = await say(fileOf(provider.bills), "--upstream", "a");
    expect(ran.code).toBe(1);
    expect(ran.out).toContain(
      "note: attempts that told no usage, so that our numbers lack what the provider may have billed for them: 1\n",
    );
    const cwd = newDir();
    const local = await run(["reconcile", fileOf(provider.bills), "--upstream", "a"], { cwd });
    expect([local.code, local.err]).toEqual([1, ""]);
    expect(local.out).toContain("ONLY THEIRS");
  },
  MINUTES,
);
