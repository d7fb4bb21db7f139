# Sixty small images of three classes, anew, in FOLDER.
file(REMOVE_RECURSE ${FOLDER})
execute_process(COMMAND ${MUSTER} synth ${FOLDER} --images 60 --classes 3 --height 60 --width 80
  COMMAND_ERROR_IS_FATAL ANY)
