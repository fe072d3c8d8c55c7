/** The keys of a map that stand behind a text in the order of texts, the first `limit` of them. */
export function keysBehind<V>(
  map: ReadonlyMap<string, V>,
  after: string,
  limit: number,
  isWanted: (value: V) => boolean,
): string[] {
  const page: string[] = []
  for (const [key, value] of map) {
    if (key <= after || (page.length === limit && key > (page.at(-1) as string)) || !isWanted(value)) continue
    page.splice(placeIn(page, key), 0, key)
    if (page.length > limit) page.pop()
  }
  return page
}

/** Where a text stands in a sorted list. */
function placeIn(sorted: readonly string[], text: string): number {
  let [low, high] = [0, sorted.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if ((sorted[middle] as string) < text) low = middle + 1
    else high = middle
  }
  return low
}
