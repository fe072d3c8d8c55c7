/** Thrown where more than may wait are waiting already. */
export class Overcrowded extends Error {
  override readonly name = 'Overcrowded'
  /** The others of one rush need not be reported. */
  readonly isFirst: boolean

  constructor(message: string, isFirst: boolean) {
    super(message)
    this.isFirst = isFirst
  }
}

/** Lets `atOnce` tasks run at the same time; up to `waiting` more wait for their turn in the order in which they came. */
export function createTurns(atOnce: number, waiting: number) {
  const line: (() => void)[] = []
  let running = 0
  let isRush = false

  /** Whoever leaves hands his place on, so that nobody who comes now gets in between. */
  function leave(): void {
    const next = line.shift()
    if (line.length * 2 < waiting) isRush = false
    if (next === undefined) running--
    else next()
  }

  /** Its promise is rejected with Overcrowded at once where too many wait. */
  return async function inTurn<T>(task: () => Promise<T>): Promise<T> {
    if (running < atOnce) running++
    else if (line.length >= waiting) {
      const isFirst = !isRush
      isRush = true
      throw new Overcrowded(`${waiting} are waiting already`, isFirst)
    } else await new Promise<void>((resolve) => line.push(resolve))
    try {
      return await task()
    } finally {
      leave()
    }
  }
}
