import type { Socket } from 'node:net'

interface Item {
  bytes: Buffer
  notBefore: number
  gate: Promise<unknown> | undefined
  /** Runs when it is this item's turn, after its bytes were written. */
  after: (() => void) | undefined
}

/**
 * One direction of a connection: bytes leave in the order in which they came, later than they came or not at all.
 * The end of the stream is an item too, so that it cannot overtake the bytes before it.
 */
export class FaultPipe {
  readonly #target: Socket
  readonly #items: Item[] = []
  #held = false
  #waiting = false
  #timer: NodeJS.Timeout | undefined
  #closed = false

  constructor(target: Socket) {
    this.#target = target
  }

  get held(): boolean {
    return this.#held
  }

  get hasBytes(): boolean {
    return this.#items.some(({ bytes }) => bytes.length > 0)
  }

  send(
    bytes: Buffer,
    { delay = 0, gate, after }: { delay?: number; gate?: Promise<unknown>; after?: () => void } = {},
  ) {
    if (this.#closed) return
    this.#items.push({ bytes, notBefore: performance.now() + delay, gate, after })
    this.#pump()
  }

  /** Ends the target after everything that was sent before. */
  end(): void {
    this.send(Buffer.alloc(0), { after: () => this.#target.end() })
  }

  hold(): void {
    this.#held = true
  }

  release(): void {
    this.#held = false
    this.#pump()
  }

  /** Drops what has not left yet, and takes nothing more. */
  close(): void {
    this.#closed = true
    this.#items.length = 0
    clearTimeout(this.#timer)
  }

  #pump(): void {
    while (!this.#held && !this.#waiting) {
      const item = this.#items[0]
      if (item === undefined) return
      if (item.gate !== undefined) {
        this.#waiting = true
        const open = () => {
          item.gate = undefined
          this.#waiting = false
          this.#pump()
        }
        item.gate.then(open, open)
        return
      }
      const wait = item.notBefore - performance.now()
      if (wait > 0) {
        clearTimeout(this.#timer)
        this.#timer = setTimeout(() => this.#pump(), Math.ceil(wait))
        return
      }
      this.#items.shift()
      if (item.bytes.length > 0 && this.#target.writable) this.#target.write(item.bytes)
      item.after?.()
    }
  }
}
