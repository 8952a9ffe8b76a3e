/** `millrace audit list|verify`. */
import type { Command } from "commander";
import { listAll, print, withOptions } from "./controls.ts";
import { withControls } from "./open-controls.ts";
import type { Where } from "./controls.ts";
import { table } from "./table.ts";
import { wholeNumber } from "./values.ts";

const COLUMNS = ["seq", "at", "actor", "role", "action", "target", "address"];

export function addAuditCommands(program: Command): void {
  const audit = program.command("audit").description("the audit: who changed what");
  withOptions(audit.command("list").description("list changes, newest first"))
    .option("--limit <number>", "how many", wholeNumber, 50)
    .action((given: Where & { limit: number }) =>
      withControls(given, async (controls) => {
        const page = await listAll(controls, "audit", {}, given.limit);
        print(given, page, table(COLUMNS, page.data));
      }),
    );
  withOptions(audit.command("verify").description("check that nobody altered or removed an entry")).action((given: Where) =>
    withControls(given, async (controls) => {
      const { data } = await listAll(controls, "audit");
      const [{ verifyChain }, { entryShown }] = await Promise.all([
        import("../control/audit-entry.ts"),
        import("../control/resources/audit.ts"),
      ]);
      const { entries, head, broken } = verifyChain(data.map(entryShown));
      const whole = `${entries} entries, the chain is whole, its head is ${head}\n`;
      print(
        given,
        { ok: broken === null, entries, head, broken },
        broken === null ? whole : `entry ${broken.seq} is broken: ${broken.reason}\n`,
      );
      if (broken !== null) process.exitCode = 1;
    }),
  );
}
