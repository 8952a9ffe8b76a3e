/** `millrace check FILE`. */
import { formatMistakes, loadConfig } from "../config/load.ts";

/** Prints every mistake at once; the exit code says whether there was one. */
export async function runCheck(file: string, given: { json?: boolean }): Promise<void> {
  const result = await loadConfig({ file, env: process.env, cwd: process.cwd() });
  const mistakes = result.ok ? [] : result.mistakes;
  const warnings = result.ok ? result.config.warnings : [];
  if (given.json === true) process.stdout.write(`${JSON.stringify({ ok: result.ok, mistakes, warnings })}\n`);
  else
    process.stdout.write(
      result.ok
        ? `${[...warnings.map((warning) => `warning: ${warning}`), `${file} is good`].join("\n")}\n`
        : `${formatMistakes(mistakes)}\n`,
    );
  process.exitCode = result.ok ? 0 : 1;
}
