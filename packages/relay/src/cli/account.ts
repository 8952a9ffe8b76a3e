/** `millrace account create|list|show|close`. */
import type { Command } from "commander";
import { print, withControls } from "./controls.ts";
import type { Where } from "./controls.ts";
import { table } from "./table.ts";

export function addAccountCommands(program: Command): void {
  const account = program.command("account").description("accounts: who pays");
  const common = (command: Command): Command => command.option("--data <dir>", "data directory (./data)").option("--json", "print JSON");
  common(account.command("create <name>").description("make an account"))
    .option("--metered", "it pays from credit")
    .option("--tier <name>", "its limits, by the configuration's name")
    .action((name: string, given: Where & { metered?: boolean; tier?: string }) =>
      withControls(given, async (controls) => {
        const made = await controls.createAccount({
          name,
          metered: given.metered ?? false,
          ...(given.tier === undefined ? {} : { tier: given.tier }),
        });
        print(given, made, `${String(made["id"])}\n`);
      }),
    );
  common(account.command("list").description("list accounts")).action((given: Where) =>
    withControls(given, async (controls) => {
      const data = await controls.accounts();
      print(given, { data, next: null }, table(["id", "name", "metered", "tier", "status", "created_at"], data));
    }),
  );
  common(account.command("show <id>").description("show one account")).action((id: string, given: Where) =>
    withControls(given, async (controls) => {
      const shown = await controls.account(id);
      print(given, shown, table(Object.keys(shown), [shown]));
    }),
  );
  common(account.command("close <id>").description("end an account; its keys stop working, its rows stay")).action(
    (id: string, given: Where) =>
      withControls(given, async (controls) => {
        const shown = await controls.changeAccount(id, { status: "closed" });
        print(given, shown, `closed ${id}\n`);
      }),
  );
}
