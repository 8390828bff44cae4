-- To be called once by whoever has loaded the library.
recount()
return 1
