import type { Request, RequestHandler, Response } from 'express'
import type { AatParts, EndpointName } from '../http/aat.ts'
import { handleCors } from '../http/headers.ts'
import { shareShape } from '../http/message-shape.ts'
import { dropAfterLast, jsonErrors, sendMethodNotAllowed, sendNotFound } from '../http/responder.ts'
import { warnOfConfiguration } from '../protocol/events.ts'

interface JsonEndpoint {
  readonly name: EndpointName
  /** Is this path the endpoint's? Default: just where it is mounted. */
  readonly isHere?: (path: string) => boolean
  /** One method, or several with `, ` between. */
  readonly allow: string
  readonly corsHeaders: string
  /** Runs after CORS, for the allowed method only. */
  readonly before?: RequestHandler
  readonly handle: (req: Request, res: Response) => Promise<void>
}

/**
 * The frame of an endpoint that answers in JSON: just this path (`/token/x.css` is nothing), just this method, CORS, and one
 * error responder. Making it is what advertises it in the metadata. No router: on every request each would touch what is slow to touch.
 */
export function jsonEndpoint(
  parts: AatParts,
  { name, isHere = isRoot, allow, corsHeaders, before, handle }: JsonEndpoint,
): RequestHandler {
  parts.mounted.add(name)
  const checkMount = warnOfOtherMount(parts, name)
  const cors = { origins: parts.corsOrigins, methods: `${allow}, OPTIONS`, headers: corsHeaders }
  const onError = jsonErrors(name, parts)
  const methods = allow.split(', ')
  return (req, res, next) => {
    // Not by `next`: to Express, `undefined` and 'router' are no errors, and a hook may throw anything.
    const fail = (thrown: unknown) => onError(thrown, req, res, next)
    const answer = () => void handle(req, res).catch(fail)
    try {
      shareShape(req, res)
      if (dropAfterLast(req, res)) return
      checkMount(req)
      if (!isHere(req.path)) return sendNotFound(req, res)
      if (handleCors(req, res, cors)) return
      if (!methods.includes(req.method)) return sendMethodNotAllowed(req, res, allow)
      if (before === undefined) return answer()
      before(req, res, (error?: unknown) => (error === undefined ? answer() : fail(error)))
    } catch (thrown) {
      fail(thrown)
    }
  }
}

const isRoot = (path: string) => path === '/' || path === ''

/** Mounted somewhere else than metadata says, with no proxy to explain it: clients would not find the endpoint. */
export function warnOfOtherMount(parts: AatParts, name: EndpointName): (req: Request) => void {
  const expected = new URL(parts.endpoints[name]).pathname.toLowerCase()
  const { pathname } = new URL(parts.issuer)
  const prefix = pathname !== '/' && expected.startsWith(`${pathname.toLowerCase()}/`) ? pathname : ''
  let checked = false
  return (req) => {
    if (checked) return
    checked = true
    // A proxy may strip the issuer's path; no other part of the way.
    const here = req.baseUrl.toLowerCase()
    if (here !== '' && ![expected, expected.slice(prefix.length)].includes(here))
      warnOfConfiguration(
        parts.emit,
        `the ${name} endpoint is mounted at ${req.baseUrl}, but metadata publishes ${parts.endpoints[name]}; mount it there, or set endpoints.${name}`,
      )
  }
}
