/**
 * Text from outside (guest consoles, registries, image labels) made safe to show on a terminal: control characters
 * could otherwise move the cursor, set the title or hide what follows.
 */
export function printable(text: string): string {
  return text.replace(unsafe, (character) => {
    const code = character.codePointAt(0) ?? 0;
    return code > 0xff ? `\\u{${code.toString(16)}}` : `\\x${code.toString(16).padStart(2, "0")}`;
  });
}

/** C0 and C1 controls, DEL, and the characters that reorder or hide text. Line breaks included: one line stays one line. */
const unsafe = /[\p{Cc}\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;
