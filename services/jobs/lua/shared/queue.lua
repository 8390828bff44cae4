-- Which job goes next. In a queue tenants take turns; of one tenant the highest priority goes first, then who came first.
-- Queues, kinds and tenants may have limits: of jobs that run at once, that begin in a time, that wait.
--
-- turns:<queue>                  tenants that have jobs waiting, by when it is their turn
-- turn                           of each queue the last turn that was taken
-- lines:<queue>:<tenant>         its lines: '' and one for each kind that has a limit of its own
-- line:<queue>:<tenant>:<kind>   jobs by priority and place
-- waits:<queue>:<tenant>         those of them that came back to their place, by the moment since when they wait
-- counts                         jobs that run and that wait, by queue, kind and tenant, where there is a limit
-- rate:<scope>:<name>            when the next job may begin; gone when that is now
-- bell:<queue>                   not empty when a worker should look
local COUNTS, TURN = PREFIX .. 'counts', PREFIX .. 'turn'
-- Priority comes before place: nobody counts to 2^48.
local PRIORITY = 2 ^ 48
local TENANTS_AT_ONCE, JOBS_AT_ONCE = 20, 100
local NO_LIMIT = {}

local function limit(scope, name)
  return LIMITS[scope][name] or LIMITS[scope]['*'] or NO_LIMIT
end

-- `what` is counted only where a limit asks for it: 'running' for `concurrency`, 'waiting' for `depth`.
local COUNTED_FOR = {running = 'concurrency', waiting = 'depth'}

-- It is written at the end of the call.
local function count_in(what, scope, name, by)
  if not limit(scope, name)[COUNTED_FOR[what]] then return end
  local field = what .. ':' .. scope .. ':' .. name
  moved[field] = (moved[field] or 0) + by
end

local function count(what, job, by)
  count_in(what, 'queue', job.queue, by)
  count_in(what, 'kind', job.kind, by)
  count_in(what, 'tenant', job.tenant, by)
end

local function counted(what, scope, name)
  local field = what .. ':' .. scope .. ':' .. name
  return tonumber(redis.call('HGET', COUNTS, field) or 0) + (moved[field] or 0)
end

-- At the end of a call.
local function keep_counts()
  for field, by in pairs(moved) do
    if by ~= 0 and redis.call('HINCRBY', COUNTS, field, by) <= 0 then redis.call('HDEL', COUNTS, field) end
  end
end

local function full(scope, name)
  local most = limit(scope, name).concurrency
  return most and counted('running', scope, name) >= most
end

-- The limit of waiting jobs that is passed when this one comes too, as {scope, name, most}, or nil. `more` counts those
-- that come with it.
local function too_deep(queue, kind, tenant, more)
  for scope, name in pairs({queue = queue, kind = kind, tenant = tenant}) do
    local most, field = limit(scope, name).depth, scope .. ':' .. name
    more[field] = (more[field] or 0) + 1
    if most and counted('waiting', scope, name) + more[field] > most then return {scope, name, most} end
  end
  return nil
end

-- The generic cell rate algorithm: when the next one may begin, were they evenly spread; early by a burst at most.
local function too_soon(scope, name)
  local rate = limit(scope, name)
  if not rate.rate_count then return false end
  local at = tonumber(redis.call('GET', PREFIX .. 'rate:' .. scope .. ':' .. name) or 0)
  -- In whole milliseconds: a third of a second, three times, is not quite one.
  return math.floor(at - now) > rate.rate_ms - rate.rate_ms / rate.rate_count
end

local function charge(scope, name)
  local rate = limit(scope, name)
  if not rate.rate_count then return end
  local key = PREFIX .. 'rate:' .. scope .. ':' .. name
  local at = math.max(now, tonumber(redis.call('GET', key) or 0)) + rate.rate_ms / rate.rate_count
  redis.call('SET', key, at, 'PX', math.ceil(at - now))
end

local function ring(queue)
  local bell = PREFIX .. 'bell:' .. queue
  if redis.call('LLEN', bell) == 0 then redis.call('RPUSH', bell, 1) end
end

local function turns_of(queue)
  return PREFIX .. 'turns:' .. queue
end

local function line_of(job)
  local rule = limit('kind', job.kind)
  return (rule.concurrency or rule.rate_count) and job.kind or ''
end

-- The names of its keys: lines, its line, waits.
local function places(job)
  local own = job.queue .. ':' .. job.tenant
  return PREFIX .. 'lines:' .. own, PREFIX .. 'line:' .. own .. ':' .. job.line, PREFIX .. 'waits:' .. own
end

-- What `enqueue` and `hold` add to `fields` is written with the job's new status.
local function enqueue(job, fields)
  local line = line_of(job)
  if line ~= job.line then add(fields, 'line', line) end
  job.line = line
  local lines, members, waits = places(job)
  if job.place then
    -- Who is interrupted comes back to where it was.
    redis.call('ZADD', waits, now, job.id)
  else
    job.place = redis.call('INCR', PREFIX .. 'places')
    add(fields, 'place', job.place)
  end
  redis.call('ZADD', members, string.format('%.0f', (9 - job.priority) * PRIORITY + job.place), job.id)
  if redis.call('ZCARD', members) == 1 then
    redis.call('SADD', lines, job.line)
    -- Who was away has not saved up turns, and who comes and goes gets none before its time.
    local turn = tonumber(redis.call('HGET', TURN, job.queue) or 0) + 1
    redis.call('ZADD', turns_of(job.queue), 'NX', turn, job.tenant)
  end
  count('waiting', job, 1)
  ring(job.queue)
end

local function dequeue(job)
  local lines, members, waits = places(job)
  redis.call('ZREM', members, job.id)
  redis.call('ZREM', waits, job.id)
  if redis.call('EXISTS', members) == 0 then
    redis.call('SREM', lines, job.line)
    if redis.call('EXISTS', lines) == 0 then redis.call('ZREM', turns_of(job.queue), job.tenant) end
  end
  count('waiting', job, -1)
end

-- A worker has it from now on.
local function hold(job, fields)
  job.epoch = job.epoch + 1
  add(fields, 'epoch', job.epoch)
  redis.call('ZADD', LEASES, now + LEASE_MS, job.member)
  count('running', job, 1)
  if not job.started_at then
    add(fields, 'started_at', now)
    charge('queue', job.queue)
    charge('kind', job.kind)
    charge('tenant', job.tenant)
  end
end

local function let_go(job)
  redis.call('ZREM', LEASES, job.member)
  count('running', job, -1)
  if not MAY_BE_FULL then return end
  -- It may have stood in the way of jobs in any queue.
  for _, queue in ipairs(QUEUES) do
    if redis.call('EXISTS', turns_of(queue)) == 1 then ring(queue) end
  end
end

local function may_begin(job)
  if job.started_at then return true end
  return not (too_soon('queue', job.queue) or too_soon('kind', job.kind) or too_soon('tenant', job.tenant))
end

-- The tenant's job that goes next, as far as limits allow.
local function next_of(queue, tenant)
  if full('tenant', tenant) then return nil end
  local own, best, first = queue .. ':' .. tenant, nil, nil
  for _, line in ipairs(redis.call('SMEMBERS', PREFIX .. 'lines:' .. own)) do
    if line == '' or not full('kind', line) then
      local head = redis.call('ZRANGE', PREFIX .. 'line:' .. own .. ':' .. line, 0, 0, 'WITHSCORES')
      local score = tonumber(head[2])
      if not best or score < best then
        local job = find(tenant, head[1])
        if may_begin(job) then best, first = score, job end
      end
    end
  end
  return first
end

-- The queue's job that goes next, and the turn that its tenant takes with it. `last` is the last one that was taken.
local function next_in(queue, last)
  if full('queue', queue) then return nil end
  -- Mostly it is the first one's.
  local turns, at, count = turns_of(queue), 0, 1
  repeat
    local tenants = redis.call('ZRANGE', turns, at, at + count - 1, 'WITHSCORES')
    for number = 1, #tenants, 2 do
      local job = next_of(queue, tenants[number])
      -- Who was held up by a limit has not saved up turns either.
      if job then return job, math.max(last, tonumber(tenants[number + 1])) end
    end
    local over = #tenants < 2 * count
    at, count = at + count, TENANTS_AT_ONCE
  until over
  return nil
end

-- Gives a worker up to `wanted` jobs of a queue, one by one.
local function serve(queue, wanted, take)
  local before = tonumber(redis.call('HGET', TURN, queue) or 0)
  local turn, taken = before, 0
  while taken < wanted do
    local job, its = next_in(queue, turn)
    if not job then break end
    turn, taken = its, taken + 1
    -- Before it is taken: who has no other job waiting gives up its turn then.
    redis.call('ZADD', turns_of(queue), turn + 1, job.tenant)
    take(job)
  end
  if turn ~= before then redis.call('HSET', TURN, queue, turn) end
end

-- The keys of a tenant's lines, and of its `waits`.
local function lines_of(queue, tenant)
  local own, keys = queue .. ':' .. tenant, {}
  for number, line in ipairs(redis.call('SMEMBERS', PREFIX .. 'lines:' .. own)) do
    keys[number] = PREFIX .. 'line:' .. own .. ':' .. line
  end
  return keys, PREFIX .. 'waits:' .. own
end

local function kinds_have_depth()
  for _, rule in pairs(LIMITS.kind) do
    if rule.depth then return true end
  end
  return false
end

-- Counts anew: limits may be other ones than before, and what was not counted then must be known now.
local function recount()
  redis.call('DEL', COUNTS)
  for _, member in ipairs(redis.call('ZRANGE', LEASES, 0, -1)) do
    local job = find(split(member))
    if job then count('running', job, 1) end
  end
  for _, queue in ipairs(QUEUES) do
    for _, tenant in ipairs(redis.call('ZRANGE', turns_of(queue), 0, -1)) do
      for _, line in ipairs(lines_of(queue, tenant)) do
        local waiting = redis.call('ZCARD', line)
        count_in('waiting', 'queue', queue, waiting)
        count_in('waiting', 'tenant', tenant, waiting)
        for _, id in ipairs(kinds_have_depth() and redis.call('ZRANGE', line, 0, -1) or {}) do
          count_in('waiting', 'kind', redis.call('HGET', PREFIX .. 'job:' .. tenant .. ':' .. id, 'kind'), 1)
        end
      end
    end
  end
end
