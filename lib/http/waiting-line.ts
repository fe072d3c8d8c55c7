import type { Request, Response } from 'express'

interface Waiting<Turn> {
  readonly req: Request
  readonly res: Response
  /** Out of the line; `undefined` for one whose client left. */
  leave(turn: Turn | undefined): void
}

export type WaitingLine<Turn> = ReturnType<typeof createWaitingLine<Turn>>

/** Node tells nothing of a response that waits behind another one of its connection: then that itself says it. */
const isGone = ({ req, res }: { req: Request; res: Response }) => res.closed || req.socket.destroyed

/**
 * Requests that wait for their turn in the order in which they came. One whose client left is out of the line, so that what was
 * read of it is not kept.
 * @param longest the most that wait
 */
export function createWaitingLine<Turn>(longest: number) {
  const line = new Set<Waiting<Turn>>()

  function letGoneOnesOut(): void {
    for (const waiting of line) if (isGone(waiting)) waiting.leave(undefined)
  }

  return {
    get isEmpty(): boolean {
      return line.size === 0
    },

    /** @returns `full` at once; otherwise its turn, or `undefined` where its client left */
    join(req: Request, res: Response): 'full' | Promise<Turn | undefined> {
      if (line.size >= longest) letGoneOnesOut()
      if (line.size >= longest) return 'full'
      // Nothing would tell of it again.
      if (isGone({ req, res })) return Promise.resolve(undefined)
      return new Promise((resolve) => {
        const waiting: Waiting<Turn> = {
          req,
          res,
          leave(turn) {
            line.delete(waiting)
            res.off('close', letGoneOnesOut)
            resolve(turn)
          },
        }
        line.add(waiting)
        res.once('close', letGoneOnesOut)
      })
    },

    /** @param nextTurn what the first one may do now; `undefined` where it has to wait */
    moveUp(nextTurn: () => Turn | undefined): void {
      letGoneOnesOut()
      for (const waiting of line) {
        const turn = nextTurn()
        if (turn === undefined) return
        waiting.leave(turn)
      }
    },
  }
}
