/** What is seen once it stays the same: machines that have just ended take a moment to let go of everything. */
export async function settled<Value>(look: () => Value): Promise<Value> {
  let seen = look();
  for (let tries = 0, same = 0; tries < 80 && same < 8; tries++) {
    await new Promise((resolve) => setTimeout(resolve, 25));
    const next = look();
    same = JSON.stringify(next) === JSON.stringify(seen) ? same + 1 : 0;
    seen = next;
  }
  return seen;
}
