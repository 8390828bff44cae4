-- Gives a worker jobs and begins their next steps. ARGV: worker, number of this call, how many, then its queues
-- The same number again gives the same jobs: the answer got lost. Returns {{tenant, id, what `show` does} …}.
local worker, number, wanted = ARGV[1], ARGV[2], tonumber(ARGV[3])
local receipt = PREFIX .. 'fetched:' .. worker
local known = redis.call('GET', receipt)
known = known and cjson.decode(known)
local rows = {}

local function give(job)
  rows[#rows + 1] = {job.tenant, job.id, show(job)}
end

if known and known.number == number then
  for _, each in ipairs(known.jobs) do
    local job = find(each[1], each[2])
    if holds(job, each[3]) then give(job) end
  end
  return rows
end

local taken, queues = {}, #ARGV - 3
local function take(job)
  move(job, 'take', 'running', {worker = worker})
  begin(job)
  give(job)
  taken[#taken + 1] = {job.tenant, job.id, job.epoch}
end

-- No queue comes first for ever.
for turn = 0, queues - 1 do
  local queue = ARGV[4 + (tonumber(number) + turn) % queues]
  serve(queue, wanted - #rows, take)
  -- There may be more than this worker takes.
  if #rows == wanted and redis.call('EXISTS', turns_of(queue)) == 1 then ring(queue) end
end
if #taken > 0 then
  redis.call('SET', receipt, cjson.encode({number = number, jobs = taken}), 'PX', 10 * LEASE_MS)
end
return rows
