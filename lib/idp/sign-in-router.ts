import { type Request, type RequestHandler, type Response, Router } from 'express'
import type { AatParts } from '../http/aat.ts'
import { sendErrorPage } from '../http/pages/error-page.ts'
import { limitRequests, type rateLimitOption } from '../http/rate-limit.ts'
import { dropAfterLast, errorHandler, sendError } from '../http/responder.ts'
import { OAuthError } from '../protocol/oauth-error.ts'

type Handler = (req: Request, res: Response) => Promise<void>

/** Handlers by path and method; `face` says who reads the errors: people, or the provider's server. */
export type SignInRoutes = Readonly<
  Record<string, { readonly GET?: Handler; readonly POST?: Handler; readonly face?: 'page' | 'json' }>
>

/** The frame of a sign-in: just these paths and methods, a limit for each address, and one error responder. */
export function signInRouter(
  parts: AatParts,
  who: string,
  rateLimit: ReturnType<ReturnType<typeof rateLimitOption>>,
  routes: SignInRoutes,
): Router {
  const routeOf = (req: Request) => routes[req.path === '' ? '/' : req.path]

  const dispatch: RequestHandler = (req, res, next) => {
    if (dropAfterLast(req, res)) return
    const route = routeOf(req)
    const handler = req.method === 'GET' || req.method === 'POST' ? route?.[req.method] : undefined
    if (handler !== undefined) {
      // Not by `next`: to Express, `undefined` and 'router' are no errors, and a hook may throw anything.
      handler(req, res).catch((thrown: unknown) => onError(thrown, req, res, next))
      return
    }
    if (route !== undefined)
      res.setHeader('Allow', ['GET', 'POST'].filter((method) => method in route).join(', '))
    next(
      new OAuthError('invalid_request', 'there is nothing here for this address and method', {
        status: route === undefined ? 404 : 405,
      }),
    )
  }

  const onError = errorHandler(who, parts, (req, res, error) => {
    if (routeOf(req)?.face === 'json') return sendError(req, res, error)
    if (error.retryAfter !== undefined) res.setHeader('Retry-After', Math.ceil(error.retryAfter))
    sendErrorPage(req, res, { status: error.status, code: error.code, description: error.message })
  })

  const router = Router()
  router.use(limitRequests(who, rateLimit, parts), dispatch, onError)
  return router
}
