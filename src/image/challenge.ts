// RFC 9110 section 11.6.1: the WWW-Authenticate field, which may hold several challenges.

/** One way to authenticate that a server offers. */
export interface Challenge {
  /** Lower case: "bearer", "basic". */
  readonly scheme: string;
  /** Names in lower case. */
  readonly parameters: ReadonlyMap<string, string>;
}

/** Parses a WWW-Authenticate field. What does not fit the grammar is skipped, for servers are careless here. */
export function parseChallenges(field: string): Challenge[] {
  const challenges: { scheme: string; parameters: Map<string, string> }[] = [];
  // Each match is a parameter (name = token or quoted string) or a word, which starts a new challenge.
  const pattern = /([\w!#$%&'*+.^`|~-]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+)))?[\s,]*/gy;
  const text = field.slice(0, maximumLength).trimStart();
  for (const match of text.matchAll(pattern)) {
    const [, word = "", quoted, token] = match;
    const value = quoted === undefined ? token : quoted.replace(/\\(.)/g, "$1");
    if (value === undefined) challenges.push({ scheme: word.toLowerCase(), parameters: new Map() });
    else challenges.at(-1)?.parameters.set(word.toLowerCase(), value);
  }
  return challenges;
}

/** More than any registry sends. */
const maximumLength = 8192;
