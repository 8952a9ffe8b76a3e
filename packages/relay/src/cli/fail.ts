/** Says what is wrong on standard error and sets the exit code; the process ends by itself. */
export function fail(message: string, code: 1 | 2): void {
  process.stderr.write(`millrace: ${message}\n`);
  process.exitCode = code;
}
