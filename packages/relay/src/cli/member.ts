/** `millrace member create|list|revoke`. */
import type { Command } from "commander";
import { listAll, one, print, withOptions } from "./controls.ts";
import { withControls } from "./open-controls.ts";
import type { Where } from "./controls.ts";
import { table } from "./table.ts";

const COLUMNS = ["id", "name", "role", "account_id", "hint", "created_at", "revoked_at"];

export function addMemberCommands(program: Command): void {
  const member = program.command("member").description("members: who else may use the control API");
  withOptions(member.command("create <name>").description("make a member and show its token, once"))
    .requiredOption("--role <role>", "owner, operator, viewer, or member of an account")
    .option("--account <id>", "the account, for the role member")
    .action((name: string, given: Where & { role: string; account?: string }) =>
      withControls(given, async (controls) => {
        const made = await controls.call("POST", "members", { name, role: given.role, account_id: given.account ?? null });
        print(given, made, `${String(made["token"])}\n`);
      }),
    );
  withOptions(member.command("list").description("list members, without their tokens")).action((given: Where) =>
    withControls(given, async (controls) => {
      const page = await listAll(controls, "members");
      print(given, page, table(COLUMNS, page.data));
    }),
  );
  withOptions(member.command("revoke <id>").description("end a member's token and sessions, at once")).action((id: string, given: Where) =>
    withControls(given, async (controls) => {
      const revoked = await controls.call("DELETE", one("members", id));
      print(given, revoked, `revoked ${id}\n`);
    }),
  );
}
