/** `npm test [-- --long] [FILTER...]`: all tests; `--long` adds those that take minutes, in their full sizes. */
import { spawn } from "node:child_process";
import { join } from "node:path";

const isLong = process.argv.includes("--long");
const filters = process.argv.slice(2).filter((word) => word !== "--long");
const vitest = join(import.meta.dirname, "../node_modules/vitest/vitest.mjs");
const child = spawn(process.execPath, [vitest, "run", ...filters], {
  stdio: "inherit",
  env: { ...process.env, ...(isLong ? { MILLRACE_LONG: "1" } : {}) },
});
child.on("exit", (code) => process.exit(code ?? 1));
