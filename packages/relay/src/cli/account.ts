/** `millrace account create|list|show|close`. */
import type { Command } from "commander";
import { listAll, one, print, withOptions } from "./controls.ts";
import { withControls } from "./open-controls.ts";
import type { Where } from "./controls.ts";
import { table } from "./table.ts";

export function addAccountCommands(program: Command): void {
  const account = program.command("account").description("accounts, which own keys and may pay for requests");
  withOptions(account.command("create <name>").description("make an account"))
    .option("--metered", "the account pays from credit")
    .option("--tier <name>", "its tier of limits, a name from the configuration")
    .action((name: string, given: Where & { metered?: boolean; tier?: string }) =>
      withControls(given, async (controls) => {
        const made = await controls.call("POST", "accounts", { name, metered: given.metered ?? false, tier: given.tier ?? null });
        print(given, made, `${String(made["id"])}\n`);
        for (const warning of (made["warnings"] ?? []) as readonly string[]) process.stderr.write(`millrace: warning: ${warning}\n`);
      }),
    );
  withOptions(account.command("list").description("list accounts")).action((given: Where) =>
    withControls(given, async (controls) => {
      const page = await listAll(controls, "accounts");
      print(given, page, table(["id", "name", "metered", "tier", "status", "created_at"], page.data));
    }),
  );
  withOptions(account.command("show <id>").description("show one account")).action((id: string, given: Where) =>
    withControls(given, async (controls) => {
      const shown = await controls.call("GET", one("accounts", id));
      print(given, shown, table(Object.keys(shown), [shown]));
    }),
  );
  withOptions(account.command("close <id>").description("close an account: its keys stop working, its rows stay")).action(
    (id: string, given: Where) =>
      withControls(given, async (controls) => {
        const shown = await controls.call("PATCH", one("accounts", id), { status: "closed" });
        print(given, shown, `closed ${id}\n`);
      }),
  );
}
