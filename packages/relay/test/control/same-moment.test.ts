/** Changes that are asked for in the same moment: whoever comes second hears what it would have heard a moment later. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { errorOf } from "../support/call.ts";
import type { Answer } from "../support/call.ts";
import { DATABASES } from "../support/databases.ts";
import { dataOf, jsonOf, startControlPlane } from "./control-plane.ts";
import type { ControlPlane } from "./control-plane.ts";

describe.each(Object.entries(DATABASES))("on %s", (name, open) => {
  /** Of one database; SQLite has one relay. */
  let planes: readonly [ControlPlane, ControlPlane];
  beforeAll(async () => {
    const database = await open();
    const one = await startControlPlane({ database });
    planes = [one, name === "SQLite" ? one : await startControlPlane({ database })];
  }, 60_000);
  afterAll(async () => {
    for (const plane of new Set(planes)) await plane.close();
  });

  /** The answers that are refusals, each with its sentence. */
  const refusals = (answers: readonly Answer[]): [number, string, string][] =>
    answers.filter(({ status }) => status >= 300).map((answer) => [answer.status, errorOf(answer).code, errorOf(answer).message]);

  const create = (name: string, metered: boolean, at: number): Promise<Answer> =>
    (planes[at % 2] ?? planes[0]).ask("POST", "accounts", { body: { name, metered } });

  test.each([
    ["do not pay", [false, false, false, false]],
    ["pay", [true, true, true, true]],
    ["pay and do not", [true, false, false, true]],
  ])("of accounts of one name that %s one is made, and the others are told", async (kind, metered) => {
    const wanted = `${kind} once`;
    const answers = await Promise.all(metered.map((each, at) => create(wanted, each, at)));
    const said = [400, "invalid_request", `There is an account named ${wanted} already.`];
    expect(refusals(answers)).toEqual([said, said, said]);
    // And once more when nobody asks beside it: the same.
    expect(refusals([await create(wanted, false, 0)])).toEqual([said]);
    const all = await planes[1].all("accounts");
    expect(all.filter((account) => account["name"] === wanted).length).toBe(1);
    expect((await planes[0].all("audit")).filter((entry) => JSON.stringify(entry["after"]).includes(`"${wanted}"`)).length).toBe(1);
  });

  test.each([
    ["its name", {}],
    ["its name and its floor", { floor: "-0.50" }],
  ])("of accounts that are given one name by changing %s one gets it", async (kind, more) => {
    const made = [];
    for (const at of [0, 1, 2]) made.push(jsonOf(await create(`${kind} ${at}`, true, at)));
    const wanted = `${kind} again`;
    const body = { name: wanted, ...more };
    const answers = await Promise.all(
      made.map(({ id }, at) => (planes[at % 2] ?? planes[0]).ask("PATCH", `accounts/${String(id)}`, { body })),
    );
    const said = [400, "invalid_request", `There is an account named ${wanted} already.`];
    expect(refusals(answers)).toEqual([said, said]);
  });

  test("a change of an account that is closed in the same moment is made before, or is told so", async () => {
    for (let at = 0; at < 10; at++) {
      const id = String(jsonOf(await create(`closing ${at}`, at % 2 === 0, 0))["id"]);
      await planes[1].made("GET", `accounts/${id}`);
      const [close, rename] = await Promise.all([
        planes[0].ask("PATCH", `accounts/${id}`, { body: { status: "closed" } }),
        planes[1].ask("PATCH", `accounts/${id}`, { body: { tier: null } }),
      ]);
      expect(close.status).toBe(200);
      if (rename.status !== 200) expect(refusals([rename])).toEqual([[400, "invalid_request", "A closed account stays as it is."]]);
      expect(await planes[0].made("GET", `accounts/${id}`)).toMatchObject({ status: "closed" });
    }
  });

  test("of credits of one reference for two accounts one is given", async () => {
    const ids = [];
    for (const at of [0, 1, 2, 3]) ids.push(String(jsonOf(await create(`credited ${at}`, true, at))["id"]));
    const body = { amount: "1.00", reason: "x", reference: "one order" };
    const answers = await Promise.all(ids.map((id, at) => (planes[at % 2] ?? planes[0]).ask("POST", `accounts/${id}/credits`, { body })));
    const said = [400, "invalid_request", "This reference was used for something else. Use another one."];
    expect(refusals(answers)).toEqual([said, said, said]);
  });

  test("members and keys may share a name: their ids and hints tell them apart", async () => {
    for (const [path, body] of [
      ["members", { name: "anna", role: "viewer" }],
      ["keys", { name: "ci" }],
    ] as const) {
      const answers = await Promise.all([0, 1].map((at) => (planes[at] ?? planes[0]).ask("POST", path, { body })));
      expect([path, refusals(answers)]).toEqual([path, []]);
      const listed = dataOf(jsonOf(await planes[0].ask("GET", path))).filter((each) => each["name"] === body.name);
      expect([path, new Set(listed.map((each) => each["id"])).size]).toEqual([path, 2]);
    }
  });
});
