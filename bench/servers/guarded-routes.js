/** The routes of every server with a guard: one without it, and one behind it. */

export const ANSWER = { orders: [{ id: 1, item: 'a thing', amount: 3 }] }

/** @param {import('express').Express} app @param {...import('express').RequestHandler} guards */
export function guardedRoutes(app, ...guards) {
  app.get('/open', (_req, res) => void res.json(ANSWER))
  app.get('/guarded', ...guards, (_req, res) => void res.json(ANSWER))
}
