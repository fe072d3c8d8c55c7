import type { Request } from 'express'
import { decodeUtf8, isObject, parseJsonObject } from '../protocol/encoding.ts'
import { type Parameters, parametersFromParsed, parseFormBytes, parseParameters } from '../protocol/form.ts'
import { OAuthError } from '../protocol/oauth-error.ts'

/** Bytes. */
const BODY_LIMIT = 64 * 1024
/** Seconds that a client has for sending its body. */
const BODY_TIMEOUT = 15

/**
 * Reads a form body once, strictly (RFC 6749 appendix B). Where the app parsed it before, the result is the same.
 * @param limit bytes
 * @param timeout seconds for all of it
 * @throws OAuthError `invalid_request`, with status 413 for a body over the limit, 408 for one that does not come
 */
export async function readFormBody(
  req: Request,
  limit = BODY_LIMIT,
  timeout = BODY_TIMEOUT,
): Promise<Parameters> {
  requireContentType(req, 'application/x-www-form-urlencoded')
  const body: unknown = req.body
  if (Buffer.isBuffer(body)) return parseFormBytes(body)
  if (typeof body === 'string') return parseParameters(body)
  if (isParsed(req) && isObject(body)) return parametersFromParsed(body)
  return parseFormBytes(await readBytes(req, limit, timeout))
}

/**
 * Reads a body of client metadata: a JSON object (RFC 7591 §3.1).
 * @throws OAuthError `invalid_client_metadata` for another type (415 where it is compressed) or malformed JSON
 */
export async function readMetadataBody(req: Request): Promise<Record<string, unknown>> {
  const code = 'invalid_client_metadata'
  try {
    requireContentType(req, 'application/json')
  } catch (error) {
    throw error instanceof OAuthError ? new OAuthError(code, error.message, { status: error.status }) : error
  }
  const body: unknown = req.body
  let value: Record<string, unknown> | undefined
  if (Buffer.isBuffer(body)) value = parseJsonObject(decodeUtf8(body) ?? '')
  else if (typeof body === 'string') value = parseJsonObject(body)
  else if (isParsed(req)) value = isObject(body) ? body : undefined
  else value = parseJsonObject(decodeUtf8(await readBytes(req, BODY_LIMIT, BODY_TIMEOUT)) ?? '')
  if (value === undefined) throw new OAuthError(code, 'the body must be a JSON object in UTF-8')
  return value
}

/** The query of the request itself, whatever query parser the app has configured. */
export function readQuery(req: Request): Parameters {
  const start = req.originalUrl.indexOf('?')
  return parseParameters(start < 0 ? '' : req.originalUrl.slice(start + 1))
}

/** A body parser of the app's was here: the stream is spent. */
function isParsed(req: Request): boolean {
  return req.body !== undefined && (req.readableEnded || req.readableDidRead)
}

function requireContentType(req: Request, expected: string): void {
  // As nearly all clients say it.
  if (req.headers['content-type'] === expected && req.headers['content-encoding'] === undefined) return
  const [type = '', ...parameters] = (req.headers['content-type'] ?? '')
    .split(';')
    .map((part) => part.trim().toLowerCase())
  const charsets = parameters.filter((parameter) => parameter.startsWith('charset='))
  if (type !== expected) throw new OAuthError('invalid_request', `Content-Type must be ${expected}`)
  if (
    charsets.length > 1 ||
    !charsets.every((charset) => charset === 'charset=utf-8' || charset === 'charset="utf-8"')
  ) {
    throw new OAuthError('invalid_request', 'charset must be utf-8')
  }
  const encoding = req.headers['content-encoding']
  if (encoding !== undefined && encoding.toLowerCase() !== 'identity')
    throw new OAuthError('invalid_request', 'the body must not be compressed', { status: 415 })
}

function readBytes(req: Request, limit: number, timeout: number): Promise<Buffer> {
  const tooLarge = () => new OAuthError('invalid_request', `the body is over ${limit} bytes`, { status: 413 })
  if (Number(req.headers['content-length'] ?? 0) > limit) return Promise.reject(tooLarge())
  // The app read the stream and left no req.body: the rest would pass for the whole. Or it had its text decoded, not strictly.
  if (req.readableEnded || req.readableDidRead || req.readableEncoding !== null)
    return Promise.reject(new Error('the body was read before, but is not in req.body'))
  // The client left before anybody asked: that is told no more.
  if (req.destroyed) return Promise.reject(gone(req))
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let size = 0
    let isOver = false
    const timer = setTimeout(() => {
      const problem = `the body did not arrive within ${timeout} seconds`
      fail(new OAuthError('invalid_request', problem, { status: 408 }))
    }, timeout * 1000)
    timer.unref()

    const onData = (chunk: Buffer) => {
      size += chunk.length
      if (size > limit) return fail(tooLarge())
      chunks.push(chunk)
    }
    // Every request is closed in the end, and an error is dear to make.
    const onCut = () => {
      if (!isOver) fail(gone(req))
    }
    function fail(error: Error): void {
      if (isOver) return
      isOver = true
      clearTimeout(timer)
      req.off('data', onData).pause()
      reject(error)
    }
    // What listens to a stream that has ended stays: taking it away would cost more than all of it.
    req
      .on('data', onData)
      .on('error', onCut)
      .on('close', onCut)
      .on('end', () => {
        if (isOver) return
        isOver = true
        clearTimeout(timer)
        resolve(Buffer.concat(chunks, size))
      })
  })
}

/** Nobody reads this answer; events may tell of it. */
function gone({ complete }: Request): OAuthError {
  return new OAuthError('invalid_request', complete ? 'the client has left' : 'the body was cut short')
}
