/** `millrace key create|list|revoke|rotate`. */
import type { Command } from "commander";
import { listAll, one, print, withOptions } from "./controls.ts";
import { withControls } from "./open-controls.ts";
import type { Where } from "./controls.ts";
import { table } from "./table.ts";
import { commaList, listOfBudgets, wholeNumber } from "./values.ts";
import type { BudgetQuery } from "./values.ts";

interface Limits {
  readonly budget?: readonly BudgetQuery[];
  readonly rpm?: number;
  readonly tpm?: number;
  readonly inFlight?: number;
  readonly models?: readonly string[];
  readonly scope?: readonly string[];
  readonly address?: readonly string[];
  readonly expires?: string;
}

export function addKeyCommands(program: Command): void {
  const key = program.command("key").description("API keys");
  withOptions(key.command("create").description("make a key and show it, once"))
    .option("--account <id>", "the account that owns the key (your own account, or default)")
    .option("--name <name>", "a name for people", "key")
    .option("--budget <period=usd>", "day, week, month or total=5.00, in USD; may be given several times", listOfBudgets)
    .option("--rpm <number>", "most requests in any minute", wholeNumber)
    .option("--tpm <number>", "most tokens in any minute", wholeNumber)
    .option("--in-flight <number>", "most requests at the same time", wholeNumber)
    .option("--models <names>", "only these models: a,b", commaList)
    .option("--scope <endpoints>", "only these endpoints: chat,embeddings", commaList)
    .option("--address <list>", "only from these addresses: 10.0.0.0/8", commaList)
    .option("--expires <instant>", "when the key expires: 2027-01-01T00:00:00Z")
    .action((given: Where & Limits & { account?: string; name: string }) =>
      withControls(given, async (controls) => {
        const made = await controls.call("POST", "keys", {
          ...(given.account === undefined ? {} : { account_id: given.account }),
          name: given.name,
          ...wishesOf(given),
        });
        print(given, made, `${String(made["key"])}\n`);
      }),
    );
  withOptions(key.command("list").description("list keys, without their text")).action((given: Where) =>
    withControls(given, async (controls) => {
      const page = await listAll(controls, "keys");
      print(given, page, table(["id", "account_id", "name", "hint", "created_at", "expires_at", "revoked_at"], page.data));
    }),
  );
  withOptions(key.command("revoke <id>").description("revoke a key: it stops working within a second")).action((id: string, given: Where) =>
    withControls(given, async (controls) => {
      const revoked = await controls.call("DELETE", one("keys", id));
      print(given, revoked, `revoked ${id}\n`);
    }),
  );
  withOptions(key.command("rotate <id>").description("make a new key with the limits of an old one; the old one ends later"))
    .option("--overlap <seconds>", "seconds that the old key goes on working (86400, a day)", wholeNumber)
    .action((id: string, given: Where & { overlap?: number }) =>
      withControls(given, async (controls) => {
        const wish = given.overlap === undefined ? {} : { overlap_seconds: given.overlap };
        const made = await controls.call("POST", one("keys", id, "/rotate"), wish);
        print(given, made, `${String(made["key"])}\n`);
      }),
    );
}

function wishesOf({ budget, rpm, tpm, inFlight, models, scope, address, expires }: Limits): object {
  const limits = { rpm: rpm ?? null, tpm: tpm ?? null, in_flight: inFlight ?? null };
  return {
    budgets: budget ?? null,
    limits: Object.values(limits).every((limit) => limit === null) ? null : limits,
    models: models ?? null,
    scopes: scope ?? null,
    addresses: address ?? null,
    expires_at: expires ?? null,
  };
}
