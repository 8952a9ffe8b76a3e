/** `millrace backup` and `millrace restore`. */
import type { Command } from "commander";
import type { Config } from "../config/config.ts";
import { formatMistakes, loadConfig } from "../config/load.ts";
import type { BackupMade } from "../store/backup/write.ts";
import type { Restored } from "../store/backup/restore.ts";
import { print } from "./controls.ts";
import { fail } from "./fail.ts";
import { grouped, Progress } from "./progress.ts";

interface Place {
  readonly data?: string;
  readonly config?: string;
  readonly json?: boolean;
}

export function addBackupCommands(program: Command): void {
  const common = (command: Command): Command =>
    command
      .option("--data <dir>", "data directory (./data)")
      .option("--config <file>", "configuration file that names the database")
      .option("--json", "print JSON");
  common(program.command("backup <file>").description("write everything in the database into a file"))
    .option("--force", "replace the file if it exists")
    .action(runBackup);
  common(program.command("restore <file>").description("load a backup into an empty place")).action(runRestore);
}

async function runBackup(file: string, given: Place & { force?: boolean }): Promise<void> {
  const { writeBackup } = await import("../store/backup/write.ts");
  const { dataDir, database } = await configOf(given);
  const progress = new Progress();
  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => stop.abort());
  const onProgress = (done: number, total: number): void => progress.show("backup", done, total);
  try {
    const made = await writeBackup({ file, force: given.force ?? false, dataDir, database, onProgress, signal: stop.signal });
    progress.end();
    printBackup(given, file, made);
  } catch (error) {
    progress.end();
    if (!stop.signal.aborted) throw error;
    fail("the backup was stopped and left no file", 1);
  }
}

function printBackup(given: Place, file: string, { head, tail, bytes }: BackupMade): void {
  const json = {
    file,
    bytes,
    made_at: new Date(head.madeAt).toISOString(),
    dialect: head.dialect,
    schema_version: head.schema,
    rows: tail.rows,
    spooled: tail.spooled,
    open_holds: head.openHolds,
    tables: Object.fromEntries(head.tables.map((table) => [table.name, table.rows])),
  };
  const more = [
    ...(tail.spooled > 0 ? [`${grouped(tail.spooled)} entries of the spool file are in it too`] : []),
    ...(head.openHolds > 0 ? [`${grouped(head.openHolds)} holds were open: the start after a restore ends them`] : []),
  ];
  const text = [`${grouped(tail.rows)} rows of ${head.tables.length} tables are in ${file} (${megabytes(bytes)})`, ...more];
  print(given, json, `${text.join("\n")}\n`);
}

async function runRestore(file: string, given: Place): Promise<void> {
  const { restoreBackup } = await import("../store/backup/restore.ts");
  const { dataDir, database } = await configOf(given);
  const progress = new Progress();
  const onProgress = (stage: string, done: number, total: number): void => progress.show(stage, done, total);
  const restored = await restoreBackup({ file, dataDir, database, onProgress }).finally(() => progress.end());
  printRestored(given, file, restored);
  if (restored.isKept) return;
  const fault = restored.breaches.length > 0 ? "the books do not agree" : "the audit was altered";
  fail(
    `${file}: ${fault}, so the restore kept nothing: restore an older backup, and check whether the database that this one came from is sound`,
    1,
  );
}

function printRestored(given: Place, file: string, { head, tail, into, dialect, isKept, breaches, chain }: Restored): void {
  const json = {
    file,
    into,
    made_at: new Date(head.madeAt).toISOString(),
    from: { dialect: head.dialect, schema_version: head.schema },
    to: { dialect },
    rows: tail.rows,
    spooled: tail.spooled,
    open_holds: head.openHolds,
    is_kept: isKept,
    breaches,
    audit: chain === null ? null : { ok: chain.broken === null, ...chain },
  };
  const faults = breaches.map(({ claim, ids }) => `not so: ${claim} (${ids.join(", ")})`);
  if (chain !== null && chain.broken !== null) faults.push(`entry ${chain.broken.seq} of the audit is broken: ${chain.broken.reason}`);
  const more = [
    ...(tail.spooled > 0 ? [`${grouped(tail.spooled)} entries of the spool file are stored at the next start`] : []),
    ...(head.openHolds > 0 ? [`${grouped(head.openHolds)} holds are open: the next start ends them`] : []),
  ];
  const done = `${grouped(tail.rows)} rows of ${head.tables.length} tables, as of ${json.made_at}, are in ${into}`;
  const audit = chain === null ? [] : [`the audit has ${grouped(chain.entries)} entries, the chain is whole, its head is ${chain.head}`];
  const text = isKept ? [done, "the books agree", ...audit, ...more] : faults;
  print(given, json, `${text.join("\n")}\n`);
}

/** A configuration with mistakes does not say which database it means. */
async function configOf({ data, config }: Place): Promise<Pick<Config, "dataDir" | "database">> {
  const loaded = await loadConfig({ data, file: config, env: process.env, cwd: process.cwd() });
  if (!loaded.ok) throw new Error(`the configuration has mistakes:\n${formatMistakes(loaded.mistakes)}`);
  return loaded.config;
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
