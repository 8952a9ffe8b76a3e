/** `millrace credit grant|show`. */
import { randomUUID } from "node:crypto";
import type { Command } from "commander";
import { print, withControls } from "./controls.ts";
import type { Where } from "./controls.ts";

export function addCreditCommands(program: Command): void {
  const credit = program.command("credit").description("credit of accounts that pay");
  const common = (command: Command): Command => command.option("--data <dir>", "data directory (./data)").option("--json", "print JSON");
  common(credit.command("grant <account> <amount>").description("give credit, in USD as 5.00"))
    .requiredOption("--reason <text>", "why; it stands in the books")
    .option("--reference <id>", "its own name: the same one cannot be granted twice (a new one)")
    .action((account: string, amount: string, given: Where & { reason: string; reference?: string }) =>
      withControls(given, async (controls) => {
        const shown = await controls.grantCredit(account, {
          amount,
          reason: given.reason,
          reference: given.reference ?? `cli-${randomUUID()}`,
        });
        print(given, shown, `${String(shown["balance"])}\n`);
      }),
    );
  common(credit.command("show <account>").description("what an account has")).action((account: string, given: Where) =>
    withControls(given, async (controls) => {
      const shown = await controls.balance(account);
      print(
        given,
        shown,
        `balance ${String(shown["balance"])} USD, held ${String(shown["held"])}, available ${String(shown["available"])}\n`,
      );
    }),
  );
}
