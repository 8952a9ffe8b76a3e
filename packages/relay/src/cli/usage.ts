/** `millrace usage` and `millrace request show`. */
import type { Command } from "commander";
import { listAll, one, print, withOptions } from "./controls.ts";
import { withControls } from "./open-controls.ts";
import type { Shown, Where } from "./controls.ts";
import { table } from "./table.ts";

const COLUMNS = ["at", "group", "requests", "errors", "input_tokens", "output_tokens", "charge", "cost", "written_off"];
const ATTEMPT_COLUMNS = ["n", "upstream", "upstream_model", "outcome", "status", "duration_ms", "detail"];

interface Range {
  readonly by?: string;
  readonly every?: string;
  readonly from?: string;
  readonly to?: string;
  readonly account?: string;
}

export function addUsageCommands(program: Command): void {
  withOptions(program.command("usage").description("sum requests, tokens and money by day or hour"))
    .option("--by <group>", "sum by account, key, model or upstream (model)")
    .option("--every <step>", "sum by hour or day (day)")
    .option("--from <instant>", "begin at, such as 2026-11-01T00:00:00Z (30 days ago; by the hour, 1 day ago)")
    .option("--to <instant>", "end at (now)")
    .option("--account <id>", "only this account")
    .action((given: Where & Range) =>
      withControls(given, async (controls) => {
        const { by, every, from, to, account } = given;
        const page = await listAll(controls, "usage", { by, every, from, to, account_id: account });
        print(given, page, table(COLUMNS, page.data));
      }),
    );
  const request = program.command("request").description("requests and how they ended");
  withOptions(request.command("show <id>").description("show one request, with its attempts and its receipt")).action(
    (id: string, given: Where) =>
      withControls(given, async (controls) => {
        const shown = await controls.call("GET", one("requests", id));
        print(given, shown, requestText(shown));
      }),
  );
}

/** One line for each thing that is known, then the attempts. */
function requestText({ attempts, receipt, ...row }: Shown): string {
  const known = [...Object.entries(row), ...Object.entries(receiptOf(receipt))].filter(([, value]) => value !== null && value !== "");
  const width = Math.max(...known.map(([name]) => name.length));
  const lines = known.map(([name, value]) => `${name.padEnd(width)}  ${Array.isArray(value) ? value.join(", ") : String(value)}\n`);
  return `${lines.join("")}\n${table(ATTEMPT_COLUMNS, attempts as readonly Shown[])}`;
}

function receiptOf(receipt: unknown): Record<string, unknown> {
  if (receipt === null || receipt === undefined) return {};
  const { state, amount, charged, written_off } = receipt as Shown;
  return { "receipt.state": state, "receipt.set_aside": amount, "receipt.charged": charged, "receipt.written_off": written_off };
}
