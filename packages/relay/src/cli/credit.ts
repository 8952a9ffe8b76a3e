/** `millrace credit grant|list|show|write-offs`. */
import { randomUUID } from "node:crypto";
import type { Command } from "commander";
import { Unconfirmed } from "./admin-call.ts";
import { listAll, one, print, withOptions } from "./controls.ts";
import { withControls } from "./open-controls.ts";
import type { Where } from "./controls.ts";
import { table } from "./table.ts";

const LOT_COLUMNS = ["created_at", "kind", "amount", "remaining", "expires_at", "reference"];
const WRITE_OFF_COLUMNS = ["at", "request_id", "account_id", "model", "charged", "written_off"];

export function addCreditCommands(program: Command): void {
  const credit = program.command("credit").description("credit of accounts that pay");
  withOptions(credit.command("grant <account> <amount>").description("give credit in USD, such as 5.00"))
    .requiredOption("--reason <text>", "the reason, kept in the books")
    .option("--reference <id>", "name of this grant; one name grants once (a new name)")
    .option("--expires <instant>", "when the credit expires, such as 2027-01-01T00:00:00Z")
    .action((account: string, amount: string, given: Where & { reason: string; reference?: string; expires?: string }) =>
      withControls(given, async (controls) => {
        const { reason, reference = `cli-${randomUUID()}`, expires: expires_at = null } = given;
        const shown = await controls
          .call("POST", one("accounts", account, "/credits"), { amount, reason, reference, expires_at })
          .catch((error: unknown) => {
            if (!(error instanceof Unconfirmed)) throw error;
            throw new Error(`${error.message}\nTo repeat it without granting twice add --reference ${reference}`);
          });
        print(given, shown, `${String(shown["balance"])}\n`);
      }),
    );
  withOptions(credit.command("list <account>").description("list credits, with what is left of each")).action(
    (account: string, given: Where) =>
      withControls(given, async (controls) => {
        const page = await listAll(controls, one("accounts", account, "/credits"));
        print(given, page, table(LOT_COLUMNS, page.data));
      }),
  );
  withOptions(credit.command("show <account>").description("show the balance of an account")).action((account: string, given: Where) =>
    withControls(given, async (controls) => {
      const shown = await controls.call("GET", one("accounts", account, "/balance"));
      const [balance, held, available] = ["balance", "held", "available"].map((name) => String(shown[name]));
      print(given, shown, `balance ${balance} USD, held ${held}, available ${available}\n`);
    }),
  );
  withOptions(credit.command("write-offs").description("list requests that cost more than the credit covered, newest first"))
    .option("--account <id>", "only this account")
    .option("--from <instant>", "only requests that ended at this time or later, such as 2026-11-01T00:00:00Z")
    .option("--to <instant>", "ended before")
    .action((given: Where & { account?: string; from?: string; to?: string }) =>
      withControls(given, async (controls) => {
        const { account: account_id, from, to } = given;
        const page = await listAll(controls, "write-offs", { account_id, from, to });
        print(given, page, table(WRITE_OFF_COLUMNS, page.data));
      }),
    );
}
