import fc from "fast-check";

/** Seconds that one file of this folder may take; more at night: SUPERMACHINE_FUZZ_SECONDS. */
const secondsPerFile = Number(process.env["SUPERMACHINE_FUZZ_SECONDS"] ?? 8);

export interface FuzzOptions {
  /** This property's part of its file's time: the parts of a file add up to 1. */
  readonly share: number;
}

/** Tries as many cases as there is time for. A failure prints the seed and the shrunk case, as fast-check does. */
export function fuzz<Case>(property: fc.IProperty<Case>, { share }: FuzzOptions): void {
  fc.assert(property, limits<Case>(share));
}

export async function fuzzAsync<Case>(
  property: fc.IAsyncProperty<Case>,
  { share }: FuzzOptions,
): Promise<void> {
  await fc.assert(property, limits<Case>(share));
}

/** Fewer cases than this in its time, and a property tests nothing: it hangs, or its cases are too large. */
const fewestCases = 20;

function limits<Case>(share: number): fc.Parameters<Case> {
  return {
    numRuns: Number.MAX_SAFE_INTEGER,
    interruptAfterTimeLimit: secondsPerFile * 1000 * share,
    // The time is meant to run out.
    markInterruptAsFailure: false,
    reporter(details) {
      if (details.failed) throw new Error(fc.defaultReportMessage(details), { cause: details.errorInstance });
      if (details.numRuns < fewestCases) throw new Error(`Only ${details.numRuns} cases in their time`);
    },
  };
}
