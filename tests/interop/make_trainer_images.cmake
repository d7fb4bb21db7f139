# Folders of small images of three classes, anew: FOLDER/whole of 60, FOLDER/few of 12, FOLDER/damaged, where six of 60
# can be decoded, and FOLDER/split, whose train/ and val/ have different classes.
function(make name num_images num_classes)
  execute_process(COMMAND ${MUSTER} synth ${FOLDER}/${name} --images ${num_images} --classes ${num_classes} --height 60
    --width 80 COMMAND_ERROR_IS_FATAL ANY)
endfunction()

file(REMOVE_RECURSE ${FOLDER})
file(MAKE_DIRECTORY ${FOLDER}/split)
make(whole 60 3)
make(few 12 3)
make(damaged 60 3)
make(split/train 9 3)
make(split/val 6 2)

file(GLOB_RECURSE images LIST_DIRECTORIES false ${FOLDER}/damaged/*.jpg)
list(SORT images)
set(number 0)
foreach(image IN LISTS images)
  math(EXPR place "${number} % 20")
  if(NOT place EQUAL 0 AND NOT place EQUAL 4)  # to train on, and held out
    file(WRITE ${image} "no image")
  endif()
  math(EXPR number "${number} + 1")
endforeach()
