/**
 * Streams one answer through a running relay and tells a whole answer from a broken one.
 *
 *   npm start                      # in one terminal
 *   npx node examples/stream.ts    # in another; a question and a model may follow
 *
 * In a project of your own the package is called `openai`; this checkout has it as `openai7`.
 */
import { readFileSync } from "node:fs";
import OpenAI from "openai7";

const url = process.env["MILLRACE_URL"] ?? "http://127.0.0.1:8787";
const key = process.env["MILLRACE_KEY"] ?? readFileSync("data/first-key", "utf8").trim();
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: key });

const question = process.argv[2] ?? "Hello";
const model = process.argv[3] ?? (await client.models.list()).data[0]?.id ?? "demo";

try {
  const stream = await client.chat.completions.create({ model, messages: [{ role: "user", content: question }], stream: true });
  let finish: string | null = null;
  for await (const chunk of stream) {
    process.stdout.write(chunk.choices[0]?.delta.content ?? "");
    finish = chunk.choices[0]?.finish_reason ?? finish;
  }
  console.log(`\n-- whole, finish reason ${finish}`);
} catch (error) {
  // A break after the first words arrives here too: as the relay's error event.
  const code = error instanceof OpenAI.APIError ? error.code : "connection";
  console.log(`\n-- broken: ${code}`);
  process.exitCode = 1;
}
