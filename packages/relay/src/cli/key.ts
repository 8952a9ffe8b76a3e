/** `millrace key create|list|revoke|rotate`. */
import type { Command } from "commander";
import { DEFAULT_ACCOUNT } from "../admission/accounts.ts";
import { print, withControls } from "./controls.ts";
import type { Where } from "./controls.ts";
import { table } from "./table.ts";
import { wholeNumber } from "./values.ts";

export function addKeyCommands(program: Command): void {
  const key = program.command("key").description("API keys");
  const common = (command: Command): Command => command.option("--data <dir>", "data directory (./data)").option("--json", "print JSON");
  common(key.command("create").description("make a key; it is shown once"))
    .option("--account <id>", "whose key it is", DEFAULT_ACCOUNT)
    .option("--name <name>", "a name to know it by", "key")
    .action((given: Where & { account: string; name: string }) =>
      withControls(given, async (controls) => {
        const made = await controls.createKey({ account_id: given.account, name: given.name });
        print(given, made, `${String(made["key"])}\n`);
      }),
    );
  common(key.command("list").description("list keys, without their text")).action((given: Where) =>
    withControls(given, async (controls) => {
      const data = await controls.keys();
      print(given, { data, next: null }, table(["id", "account_id", "name", "hint", "created_at", "expires_at", "revoked_at"], data));
    }),
  );
  common(key.command("revoke <id>").description("end a key; it stops working within a second")).action((id: string, given: Where) =>
    withControls(given, async (controls) => {
      const revoked = await controls.revokeKey(id);
      print(given, revoked, `revoked ${id}\n`);
    }),
  );
  common(key.command("rotate <id>").description("make a new key with the limits of an old one, which ends later"))
    .option("--overlap <seconds>", "how long the old one goes on (a day)", wholeNumber)
    .action((id: string, given: Where & { overlap?: number }) =>
      withControls(given, async (controls) => {
        const made = await controls.rotateKey(id, given.overlap === undefined ? {} : { overlap_seconds: given.overlap });
        print(given, made, `${String(made["key"])}\n`);
      }),
    );
}
