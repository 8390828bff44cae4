-- Creates a job, or finds the one that the same idempotency key started.
-- ARGV: tenant, owner, id, idempotency key or '', fingerprint, by, plan, then the job's fields and values
-- Returns {'created' | 'known', id, status} or {'reused'}.
local tenant, owner, id, idempotency, fingerprint = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local promise = prefix .. 'idem:' .. tenant .. ':' .. owner .. ':' .. idempotency
if idempotency ~= '' then
  local known = redis.call('HMGET', promise, 'job', 'fingerprint')
  if known[1] then
    if known[2] ~= fingerprint then return {'reused'} end
    return {'known', known[1], find(tenant, known[1]).status}
  end
  redis.call('HSET', promise, 'job', id, 'fingerprint', fingerprint)
end
local key = prefix .. 'job:' .. tenant .. ':' .. id
redis.call('HSET', key, 'owner', owner, 'idempotency_key', idempotency, 'plan', ARGV[7],
  'status', 'new', 'epoch', 0, 'cursor', 0, 'seq', 0, 'attempt', 1, 'losses', 0, 'created_at', now)
redis.call('HSET', key, unpack(ARGV, 8))
redis.call('ZADD', prefix .. 'index:' .. tenant, 0, id)
redis.call('ZADD', prefix .. 'index:' .. tenant .. ':' .. owner, 0, id)
local job = find(tenant, id)
advance(job, 'start', {by = ARGV[6]})
return {'created', id, job.status}
