-- The time that rules, in milliseconds.
return now
