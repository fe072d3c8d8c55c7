/** Thrown where more than may wait are waiting already. */
export class Overcrowded extends Error {
  override readonly name = 'Overcrowded'
  readonly rush: Rush

  constructor(message: string, rush: Rush) {
    super(message)
    this.rush = rush
  }
}

/** What all have in common that are turned away in one rush: the first of them is reported, the others go by its reference. */
export interface Rush {
  reference?: string
}

/**
 * Makes the reference of something that failed, and tells of it; of those who are turned away in one rush the first, for all.
 * @returns that reference
 */
export function tellOnce(error: unknown, make: () => string, tell: (reference: string) => void): string {
  const rush = error instanceof Overcrowded ? error.rush : undefined
  if (rush?.reference !== undefined) return rush.reference
  const reference = make()
  if (rush !== undefined) rush.reference = reference
  tell(reference)
  return reference
}

/** Lets `atOnce` tasks run at the same time; up to `waiting` more wait for their turn in the order in which they came. */
export function createTurns(atOnce: number, waiting: number) {
  const line: (() => void)[] = []
  let running = 0
  let rush: Rush | undefined

  /** Whoever leaves hands his place on, so that nobody who comes now gets in between. */
  function leave(): void {
    const next = line.shift()
    if (line.length * 2 < waiting) rush = undefined
    if (next === undefined) running--
    else next()
  }

  /** Its promise is rejected with Overcrowded at once where too many wait. */
  return async function inTurn<T>(task: () => Promise<T>): Promise<T> {
    if (running < atOnce) running++
    else if (line.length >= waiting) {
      rush ??= {}
      throw new Overcrowded(`${waiting} are waiting already`, rush)
    } else await new Promise<void>((resolve) => line.push(resolve))
    try {
      return await task()
    } finally {
      leave()
    }
  }
}
