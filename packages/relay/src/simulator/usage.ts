import type { AnswerPlan } from "./answer-plan.ts";

/** The text sent so far, counted in deltas. */
export interface Said {
  readonly completion: number;
  readonly reasoning: number;
}

/** The usage object as JSON, in the words of the scenario's style. */
export function usageJson(plan: AnswerPlan, said: Said): string {
  const { tokens, usage } = plan.scenario;
  const prompt = plan.promptTokens;
  const cached = Math.min(tokens.cached ?? 0, prompt);
  const completion = tokens.completion ?? said.completion;
  const reasoning = tokens.reasoning ?? said.reasoning;
  const sums = {
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
  };
  return JSON.stringify(
    usage === "finish" || usage === "both"
      ? { ...sums, ...deepSeekDetails(prompt, cached, reasoning) }
      : { ...sums, ...openAiDetails(cached, reasoning) },
  );
}

function deepSeekDetails(prompt: number, cached: number, reasoning: number): object {
  return {
    prompt_tokens_details: { cached_tokens: cached },
    completion_tokens_details: { reasoning_tokens: reasoning },
    prompt_cache_hit_tokens: cached,
    prompt_cache_miss_tokens: prompt - cached,
  };
}

function openAiDetails(cached: number, reasoning: number): object {
  return {
    prompt_tokens_details: { cached_tokens: cached, audio_tokens: 0 },
    completion_tokens_details: {
      reasoning_tokens: reasoning,
      audio_tokens: 0,
      accepted_prediction_tokens: 0,
      rejected_prediction_tokens: 0,
    },
  };
}
