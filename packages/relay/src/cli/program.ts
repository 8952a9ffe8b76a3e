/** The commands of `millrace`. Exit codes: 0 done, 1 refused or failed, 2 wrong usage. */
import { errorText } from "../basics/error-text.ts";
import { Command, CommanderError } from "commander";
import { addAccountCommands } from "./account.ts";
import { addAuditCommands } from "./audit.ts";
import { addBackupCommands } from "./backup.ts";
import { addCreditCommands } from "./credit.ts";
import { addKeyCommands } from "./key.ts";
import { addMemberCommands } from "./member.ts";
import { addReconcileCommand } from "./reconcile.ts";
import type { ServeOptions } from "./serve.ts";
import { addUsageCommands } from "./usage.ts";
import { wholeNumber } from "./values.ts";
import { fail } from "./fail.ts";

const program = new Command("millrace")
  .description("A self-hosted streaming relay for LLM traffic.")
  .version("0.1.0")
  .showHelpAfterError("(millrace --help shows the commands)")
  .exitOverride();

program
  .command("serve")
  .description("start the relay")
  .option("--config <file>", "configuration file (YAML or JSON); if it has upstreams or models, they replace those of the environment")
  .option("--host <host>", "address to listen on (127.0.0.1)")
  .option("--port <number>", "port to listen on (8787)", wholeNumber)
  .option("--data <dir>", "data directory (./data)")
  .action(async (given: ServeOptions) => (await import("./serve.ts")).runServe(given));

program
  .command("check <file>")
  .description("name every mistake in a configuration file")
  .option("--json", "print JSON")
  .action(async (file: string, given: { json?: boolean }) => (await import("./check.ts")).runCheck(file, given));

program
  .command("simulate")
  .description("start a simulated upstream that can have faults")
  .option("--host <host>", "address to listen on (127.0.0.1)")
  .option("--port <number>", "port to listen on (a free one)", wholeNumber)
  .option("--ttft <time>", "time to the first token, e.g. 80ms")
  .option("--rate <events>", "events per second, e.g. 60/s; 0 means as fast as possible")
  .option("--seed <number>", "seed of all random choices", wholeNumber)
  .option(
    "--fault <spec>",
    "name[=value][@share], e.g. cut=1200@5%; may be given several times",
    (spec: string, specs: string[]) => [...specs, spec],
    [],
  )
  .action(async (given: { host?: string; port?: number; ttft?: string; rate?: string; seed?: number; fault: string[] }) => {
    const { fault, ...rest } = given;
    const { runSimulate } = await import("../simulator/command.ts");
    const result = await runSimulate({ ...rest, faults: fault });
    if ("errors" in result) return fail(result.errors.join("\n"), 2);
    const simulator = result.ok;
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => void simulator.close().then(() => process.exit(0)));
    return undefined;
  });

addAccountCommands(program);
addCreditCommands(program);
addKeyCommands(program);
addMemberCommands(program);
addUsageCommands(program);
addReconcileCommand(program);
addAuditCommands(program);
addBackupCommands(program);

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : 2;
  else fail(errorText(error), 1);
}
