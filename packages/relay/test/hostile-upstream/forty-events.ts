/** The stream that is cut at every byte: a role, text, two tool calls in pieces, a finish, usage and `[DONE]`. */

const ID = '{"id":"chatcmpl-c","object":"chat.completion.chunk","created":1,"model":"m","choices":[';

function delta(json: string, finish = "null"): string {
  return `${ID}{"index":0,"delta":${json},"finish_reason":${finish}}]}`;
}

function toolPieces(index: number, name: string, json: string): string[] {
  const start = delta(
    `{"tool_calls":[{"index":${index},"id":"call_${index}","type":"function","function":{"name":"${name}","arguments":""}}]}`,
  );
  const pieces = json.match(/.{1,6}/gu) ?? [];
  return [start, ...pieces.map((piece) => delta(`{"tool_calls":[{"index":${index},"function":{"arguments":${JSON.stringify(piece)}}}]}`))];
}

const WORDS = ["Grüße", ", ", "wörld", " 你好", " the", " answer", " in", " pieces", ' \\"q\\"', " 🙂", " of", " text", " here", "."];
export const FORTY_EVENTS: readonly string[] = [
  delta('{"role":"assistant","content":""}'),
  ...WORDS.map((word) => delta(`{"content":"${word}"}`)),
  ...toolPieces(0, "look_up", '{"city":"Zürich","days":[1,2,3],"unit":"C"}'),
  ...toolPieces(1, "send_mail", '{"to":"a@b.example","text":"two words\\nthree","copy":false,"x":1234567}'),
  delta("{}", '"tool_calls"'),
  `${ID}],"usage":{"prompt_tokens":5,"completion_tokens":34,"total_tokens":39}}`,
  "[DONE]",
];
